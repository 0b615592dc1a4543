/* Connections that begin with a PROXY header. */
#include "tests/unit/support/end.h"

#include <string.h>

#include "base/mem.h"

static struct loop *loop;
static struct end end;
static int client;

static int setup(void **state)
{
	int fds[2];

	(void)state;
	loop = loop_new();
	end_tcp_pair(fds, AF_INET);
	client = fds[0];
	end_init(&end, loop, fds[1], 0, 0);
	conn_expect_proxy(end.conn);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end_fini(&end);
	if (client >= 0)
		close(client);
	loop_free(loop);
	return 0;
}

static void put(struct span bytes)
{
	assert_int_equal(send(client, bytes.data, bytes.len, MSG_NOSIGNAL), bytes.len);
}

static void the_named_peer_takes_the_place_of_the_proxy(void **state)
{
	uid_t uid;
	gid_t gid;

	(void)state;
	assert_string_equal(conn_peer_host(end.conn), "127.0.0.1");
	put(SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\nEHLO x\r\n"));
	assert_true(PUMP(loop, end.got.len == 8, 2000));
	assert_string_equal(end.story, "PI");
	assert_string_equal(buf_cstr(&end.got), "EHLO x\r\n");
	assert_string_equal(conn_peer_host(end.conn), "192.0.2.7");
	assert_string_equal(conn_peer(end.conn), "192.0.2.7:56324");
	assert_string_equal(conn_local(end.conn), "198.51.100.1:25");
	assert_false(conn_peer_user(end.conn, &uid, &gid));
	assert_true(conn_is_proxied(end.conn));
	assert_false(conn_is_unnamed(end.conn));
}

static void whoever_is_named_is_neither_local_nor_a_user(void **state)
{
	uid_t uid;
	gid_t gid;

	(void)state;
	put(SPAN("PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n"));
	assert_true(PUMP(loop, end_has(&end, 'P'), 2000));
	assert_false(conn_is_loopback(end.conn));
	assert_false(conn_peer_user(end.conn, &uid, &gid));
}

static void a_health_check_keeps_its_address_and_is_not_local_either(void **state)
{
	uid_t uid;
	gid_t gid;

	(void)state;
	put(SPAN("\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"));
	assert_true(PUMP(loop, end_has(&end, 'P'), 2000));
	assert_string_equal(conn_peer_host(end.conn), "127.0.0.1");
	assert_true(conn_is_unnamed(end.conn));
	assert_false(conn_is_loopback(end.conn));
	assert_false(conn_peer_user(end.conn, &uid, &gid));
}

static void a_header_that_comes_byte_by_byte_does_not_keep_the_loop_busy(void **state)
{
	static const char header[] = "PROXY TCP6 2001:db8::7 2001:db8::1 1 465\r\nx";
	int64_t begin;

	(void)state;
	for (const char *c = header; *c; c++) {
		put(span_of(c, 1));
		loop_turn(loop, 20);
	}
	assert_true(PUMP(loop, end.got.len == 1, 2000));
	assert_string_equal(conn_peer_host(end.conn), "2001:db8::7");
	teardown(NULL);
	setup(NULL);
	put(SPAN("PROXY"));
	assert_true(PUMP(loop, conn_input(end.conn).len == 5, 2000));
	begin = clock_boot_ms();
	loop_turn(loop, 100); /* nothing is left to be told about */
	assert_true(clock_boot_ms() - begin >= 90);
}

static void anything_else_ends_the_connection(void **state)
{
	(void)state;
	put(SPAN("EHLO x\r\n"));
	assert_true(PUMP(loop, end_has(&end, 'F'), 2000));
	assert_string_equal(end.story, "F");
	assert_non_null(strstr(conn_error(end.conn), "PROXY header"));
}

static void an_end_in_the_middle_of_it_is_a_failure(void **state)
{
	(void)state;
	put(SPAN("PROXY TCP4 192.0.2.7 198"));
	close(client);
	client = -1;
	assert_true(PUMP(loop, end_has(&end, 'F'), 2000));
	assert_string_equal(end.story, "F");
}

static void what_is_written_meanwhile_leaves_behind_it(void **state)
{
	char heard[8] = "";

	(void)state;
	end_say(&end, "220 ");
	PUMP_IDLE(loop, 40);
	assert_int_equal(recv(client, heard, sizeof(heard), MSG_DONTWAIT), -1);
	put(SPAN("PROXY UNKNOWN\r\n"));
	assert_true(PUMP(loop, recv(client, heard, 4, MSG_DONTWAIT | MSG_PEEK) == 4, 2000));
	assert_string_equal(heard, "220 ");
}

static void a_deadline_ends_the_wait(void **state)
{
	(void)state;
	conn_deadline(end.conn, clock_boot_ms() + 30);
	assert_true(PUMP(loop, end_has(&end, 'T'), 2000));
	conn_finish(end.conn, 1000);
	end.conn = NULL;
}

#define WITH_END(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_END(the_named_peer_takes_the_place_of_the_proxy),
		WITH_END(whoever_is_named_is_neither_local_nor_a_user),
		WITH_END(a_health_check_keeps_its_address_and_is_not_local_either),
		WITH_END(a_header_that_comes_byte_by_byte_does_not_keep_the_loop_busy),
		WITH_END(anything_else_ends_the_connection),
		WITH_END(an_end_in_the_middle_of_it_is_a_failure),
		WITH_END(what_is_written_meanwhile_leaves_behind_it),
		WITH_END(a_deadline_ends_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
