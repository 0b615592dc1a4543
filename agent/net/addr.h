/*
 * addr - socket addresses as text and back: literals, "host:port" pairs, loopback.
 *
 * Owns nothing; pure. An IPv4 address mapped into IPv6 is shown and compared as IPv4.
 * Threads: any.
 */
#ifndef ADDR_H
#define ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDR_TEXT_SIZE = 80 };

/* "192.0.2.7:1234", "[2001:db8::1]:25", "unix". Returns `out`. */
char *addr_text(const struct sockaddr_storage *addr, char out[ADDR_TEXT_SIZE]);
/* Without the port: "192.0.2.7", "2001:db8::1"; "" for a Unix socket. Returns `out`. */
char *addr_host(const struct sockaddr_storage *addr, char out[ADDR_TEXT_SIZE]);

/* "192.0.2.7", "2001:db8::1", "fe80::1%eth0", also in brackets. The port becomes 0. */
bool addr_literal(const char *text, struct sockaddr_storage *out_addr, socklen_t *out_len);
/* "192.0.2.7:25", "[2001:db8::1]:25". Without a port `port` is taken where it is not 0. */
bool addr_parse(const char *text, uint16_t port, struct sockaddr_storage *out_addr, socklen_t *out_len);

uint16_t addr_port(const struct sockaddr_storage *addr);
void addr_set_port(struct sockaddr_storage *addr, uint16_t port);
bool addr_is_loopback(const struct sockaddr_storage *addr);

#endif
