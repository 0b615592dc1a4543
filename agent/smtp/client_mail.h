/*
 * client_mail - the messages of an open session: which commands travel when, and whose turn the replies are.
 *
 * Owns:    nothing; works on a struct client.
 * Never:   counts a reply for a command that was not sent.
 * Threads: any, one session per thread.
 */
#ifndef SMTP_CLIENT_MAIL_H
#define SMTP_CLIENT_MAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "smtp/client_state.h"

/* There is a slot for another message: with nothing under way, or (`out_ahead`) behind one that is. */
bool client_mail_has_room(struct client *c, bool *out_ahead);
void client_mail_begin(struct client *c, const struct client_message *message, int64_t now_ms);
void client_mail_complete(struct client *c, int64_t now_ms);
/* The older message goes by BDAT, and its last chunk is not complete. */
bool client_mail_is_in_chunks(struct client *c);
/* Bytes of it; what does not go into the chunk at hand is kept until that one is answered. */
void client_mail_chunk(struct client *c, struct span bytes, int64_t now_ms);
/* There are no more: they must be as many as were announced. */
void client_mail_chunks_end(struct client *c, int64_t now_ms);
/* The final dot, or a chunk, was handed out. */
void client_mail_end_is_sent(struct client *c, int64_t now_ms);
void client_mail_reply(struct client *c, const struct reply *reply, int64_t now_ms);

#endif
