/* Connections without TLS: buffers, back-pressure, ends, failures, deadlines. net_conn_tls.c has the rest. */
#include "tests/unit/support/end.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "base/mem.h"

static struct loop *loop;
static struct end a, b;

static int setup(void **state)
{
	int fds[2];

	(void)state;
	loop = loop_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	end_init(&a, loop, fds[0], 0, 0);
	end_init(&b, loop, fds[1], 0, 0);
	return 0;
}

static int setup_tcp(void **state)
{
	int fds[2];

	(void)state;
	loop = loop_new();
	end_tcp_pair(fds, AF_INET);
	end_init(&a, loop, fds[0], 0, 0);
	end_init(&b, loop, fds[1], 0, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end_fini(&a);
	end_fini(&b);
	loop_free(loop);
	return 0;
}

static void what_is_written_in_a_turn_leaves_in_one_write(void **state)
{
	(void)state;
	end_say(&a, "250-one\r\n");
	end_say(&a, "250 two\r\n");
	assert_int_equal(conn_unsent(a.conn), 18);
	assert_int_equal(b.got.len, 0);
	assert_true(PUMP(loop, b.got.len, 1000));
	assert_string_equal(buf_cstr(&b.got), "250-one\r\n250 two\r\n");
	assert_int_equal(conn_unsent(a.conn), 0);
	assert_string_equal(b.story, "I");
}

static void bytes_not_consumed_come_again_with_the_next_ones(void **state)
{
	(void)state;
	b.leave = true;
	end_say(&a, "MAIL FR");
	assert_true(PUMP(loop, end_has(&b, 'I'), 1000));
	assert_int_equal(conn_input(b.conn).len, 7);
	conn_consume(b.conn, 5);
	end_say(&a, "OM:<>\r\n");
	assert_true(PUMP(loop, conn_input(b.conn).len == 9, 1000));
	assert_memory_equal(conn_input(b.conn).data, "FROM:<>\r\n", 9);
	conn_consume(b.conn, 1000);
	assert_int_equal(conn_input(b.conn).len, 0);
}

static void a_full_input_buffer_makes_the_peer_wait(void **state)
{
	static char block[1 << 20];
	struct end small;
	int fds[2];
	size_t sent;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	end_init(&small, loop, fds[0], 1000, 0);
	small.leave = true;
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	sent = (size_t)write(fds[1], block, sizeof(block));
	assert_true(PUMP(loop, conn_input(small.conn).len == 1000, 3000));
	PUMP_IDLE(loop, 20);
	assert_int_equal(conn_input(small.conn).len, 1000);
	assert_int_equal(write(fds[1], block, sizeof(block)), -1);
	small.leave = false;
	conn_read(small.conn, true);
	assert_true(PUMP(loop, small.got.len == sent, 2000));
	close(fds[1]);
	end_fini(&small);
}

static void with_reading_off_nothing_is_told_and_with_it_on_what_is_held(void **state)
{
	(void)state;
	conn_read(b.conn, false);
	end_say(&a, "abc");
	PUMP_IDLE(loop, 40);
	assert_string_equal(b.story, "");
	b.leave = true;
	conn_read(b.conn, true);
	assert_true(PUMP(loop, end_has(&b, 'I'), 1000));
	conn_read(b.conn, false);
	b.leave = false;
	conn_read(b.conn, true);
	assert_int_equal(b.got.len, 0); /* never from inside the call */
	assert_true(PUMP(loop, b.got.len == 3, 1000));
}

static void the_end_of_input_is_told_once_after_the_last_bytes(void **state)
{
	(void)state;
	end_say(&a, "QUIT\r\n");
	loop_turn(loop, 10);
	assert_int_equal(shutdown(conn_fd(a.conn), SHUT_WR), 0);
	assert_true(PUMP(loop, end_has(&b, 'E'), 1000));
	PUMP_IDLE(loop, 30);
	assert_string_equal(b.story, "IE");
	/* Half closed: the other direction still works. */
	end_say(&b, "221 bye\r\n");
	assert_true(PUMP(loop, a.got.len == 9, 1000));
}

static void the_end_of_input_waits_while_reading_is_off(void **state)
{
	(void)state;
	conn_read(b.conn, false);
	end_say(&a, "x");
	loop_turn(loop, 10);
	shutdown(conn_fd(a.conn), SHUT_WR);
	PUMP_IDLE(loop, 30);
	assert_string_equal(b.story, "");
	conn_read(b.conn, true);
	assert_true(PUMP(loop, end_has(&b, 'E'), 1000));
	assert_string_equal(b.story, "IE");
}

static void output_is_bounded_and_drained_is_told_when_there_is_room(void **state)
{
	static char block[200 * 1024];
	size_t taken = 0;

	(void)state;
	conn_read(b.conn, false);
	for (int i = 0; i < 20; i++) {
		taken += conn_write(a.conn, block, sizeof(block)) ? sizeof(block) : 0;
		loop_turn(loop, 1);
	}
	assert_true(conn_unsent(a.conn) <= 256 * 1024);
	assert_true(conn_is_full(a.conn));
	assert_false(conn_write(a.conn, block, sizeof(block)));
	assert_false(end_has(&a, 'F'));
	a.told = 0;
	memset(a.story, 0, sizeof(a.story));
	conn_read(b.conn, true);
	assert_true(PUMP(loop, end_has(&a, 'D'), 2000));
	assert_false(conn_is_full(a.conn));
	assert_true(PUMP(loop, b.got.len == taken, 2000));
}

static void more_than_fits_is_refused_whole(void **state)
{
	char *block = mem_calloc(1, 300 * 1024);

	(void)state;
	assert_false(conn_write(a.conn, block, 300 * 1024));
	assert_int_equal(conn_unsent(a.conn), 0);
	assert_true(conn_write(a.conn, block, 256 * 1024));
	assert_true(PUMP(loop, b.got.len == 256 * 1024, 2000));
	mem_free(block);
}

static void pump_out(struct end *end, enum conn_event event)
{
	static char block[64 * 1024];

	if (event != CONN_DRAINED)
		return;
	while (end->count < (size_t)4 << 20 && !conn_is_full(end->conn)) {
		memset(block, (char)(end->count / sizeof(block)), sizeof(block));
		assert_true(conn_write(end->conn, block, sizeof(block)));
		end->count += sizeof(block);
	}
}

static void a_large_stream_arrives_whole_and_in_order(void **state)
{
	(void)state;
	a.also = pump_out;
	end_event(&a, CONN_DRAINED);
	assert_true(PUMP(loop, b.got.len == (size_t)4 << 20, 5000));
	for (size_t i = 0; i < b.got.len; i += 64 * 1024)
		assert_int_equal(buf_span(&b.got).data[i], (char)(i / (64 * 1024)));
	assert_false(end_has(&a, 'F'));
}

static void flushed_is_told_when_all_is_with_the_kernel(void **state)
{
	(void)state;
	end_say(&a, "x");
	conn_on_flush(a.conn);
	assert_string_equal(a.story, "");
	assert_true(PUMP(loop, end_has(&a, 'L'), 1000));
	PUMP_IDLE(loop, 20);
	assert_string_equal(a.story, "L");
}

static void a_deadline_is_told_once_and_moves(void **state)
{
	int64_t now = loop_now_ms(loop), due;

	(void)state;
	conn_deadline(a.conn, now + 10);
	due = now + 60;
	conn_deadline(a.conn, due);
	assert_true(PUMP(loop, end_has(&a, 'T'), 1000));
	assert_true(loop_now_ms(loop) >= due);
	PUMP_IDLE(loop, 30);
	assert_string_equal(a.story, "T");
	conn_deadline(a.conn, loop_now_ms(loop) + 10);
	conn_deadline(a.conn, INT64_MAX);
	PUMP_IDLE(loop, 30);
	assert_string_equal(a.story, "T");
}

static void a_reset_is_a_failure_with_words(void **state)
{
	struct linger now = { .l_onoff = 1 };

	(void)state;
	assert_int_equal(setsockopt(conn_fd(a.conn), SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	conn_free(a.conn);
	a.conn = NULL;
	assert_true(PUMP(loop, end_has(&b, 'F'), 1000));
	assert_string_equal(conn_error(b.conn), "Connection reset by peer");
	assert_false(conn_failed_in_tls(b.conn));
	assert_true(conn_write(b.conn, "x", 1));
	PUMP_IDLE(loop, 20);
	assert_string_equal(b.story, "F");
}

static void what_a_peer_said_before_it_went_is_told_although_writing_failed(void **state)
{
	(void)state;
	conn_read(b.conn, false);
	loop_turn(loop, 1);
	end_say(&a, "554 go away\r\n");
	loop_turn(loop, 10);
	conn_free(a.conn);
	a.conn = NULL;
	conn_read(b.conn, true);
	end_say(&b, "EHLO x\r\n"); /* EPIPE at the end of this turn, before the input was looked at */
	loop_turn(loop, 0);
	assert_true(PUMP(loop, b.got.len == 13, 1000));
}

static void a_callback_may_free_its_connection(void **state)
{
	(void)state;
	b.free_at_input = true;
	end_say(&a, "x");
	assert_true(PUMP(loop, end_has(&b, 'I'), 1000));
	assert_null(b.conn);
	assert_true(PUMP(loop, end_has(&a, 'E') || end_has(&a, 'F'), 1000));
}

static void finish_flushes_before_it_closes(void **state)
{
	static char block[200 * 1024];

	(void)state;
	assert_true(conn_write(a.conn, block, sizeof(block)));
	conn_finish(a.conn, 5000);
	a.conn = NULL;
	b.free_at_eof = true;
	assert_true(PUMP(loop, end_has(&b, 'E'), 3000));
	assert_int_equal(b.got.len, sizeof(block));
	PUMP_IDLE(loop, 20);
	assert_string_equal(a.story, "");
}

static void the_last_words_reach_a_peer_that_is_still_sending(void **state)
{
	static char block[100 * 1024];
	char reply[64] = "";
	int fd = dup(conn_fd(b.conn));

	/* Closing with unread input would send a reset, and the peer would not read our 421. */
	(void)state;
	end_fini(&b);
	conn_read(a.conn, false);
	loop_turn(loop, 1);
	assert_true(write(fd, block, sizeof(block)) > 0);
	end_say(&a, "421 too long\r\n");
	conn_finish(a.conn, 2000);
	a.conn = NULL;
	for (int i = 0; i < 5; i++) {
		loop_turn(loop, 5);
		assert_true(send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0);
	}
	assert_int_equal(recv(fd, reply, sizeof(reply), MSG_DONTWAIT), 14);
	assert_string_equal(reply, "421 too long\r\n");
	close(fd);
	PUMP_IDLE(loop, 20);
}

static void finish_gives_up_on_a_peer_that_does_not_read(void **state)
{
	static char block[256 * 1024];
	int fd;

	(void)state;
	conn_read(b.conn, false);
	loop_turn(loop, 1);
	for (int i = 0; i < 10; i++) {
		conn_write(a.conn, block, sizeof(block));
		loop_turn(loop, 1);
	}
	fd = conn_fd(a.conn);
	conn_finish(a.conn, 50);
	a.conn = NULL;
	assert_true(PUMP(loop, fcntl(fd, F_GETFD) == -1, 5000));
	assert_string_equal(strchr(a.story, 'F') ? "F" : "", "");
}

static void unix_peers_are_known_by_their_credentials(void **state)
{
	uid_t uid = 12345;
	gid_t gid = 12345;

	(void)state;
	assert_true(conn_peer_user(a.conn, &uid, &gid));
	assert_int_equal(uid, geteuid());
	assert_int_equal(gid, getegid());
	assert_string_equal(conn_peer(a.conn), "unix");
	assert_string_equal(conn_peer_host(a.conn), "");
	assert_false(conn_is_loopback(a.conn));
}

static void tcp_peers_have_names(void **state)
{
	char want[64];

	(void)state;
	assert_string_equal(conn_peer_host(b.conn), "127.0.0.1");
	snprintf(want, sizeof(want), "%s", conn_local(a.conn));
	assert_string_equal(conn_peer(b.conn), want);
	assert_true(conn_is_loopback(b.conn));
}

/* In a child with another uid the client's socket is made; the answer must be the client's, not ours. */
static bool uid_of_tcp_client(int family, uid_t client, uid_t *out_uid)
{
	int fds[2];
	struct end server;
	gid_t gid;
	bool known;
	uid_t self = geteuid();

	if (seteuid(client) != 0)
		return false;
	end_tcp_pair(fds, family);
	assert_int_equal(seteuid(self), 0);
	end_init(&server, loop, fds[1], 0, 0);
	known = conn_peer_user(server.conn, out_uid, &gid);
	end_fini(&server);
	close(fds[0]);
	return known;
}

static void loopback_tcp_peers_are_known_by_their_sockets(void **state)
{
	uid_t uid = 0, self = geteuid();

	(void)state;
	assert_true(uid_of_tcp_client(AF_INET, self, &uid));
	assert_int_equal(uid, self);
	assert_true(uid_of_tcp_client(AF_INET6, self, &uid));
	assert_int_equal(uid, self);
}

static void the_socket_asked_about_is_the_clients_not_ours(void **state)
{
	int fds[2], listener;
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	struct end server;
	uid_t uid = 1;
	gid_t gid;

	(void)state;
	if (geteuid() != 0)
		skip();
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(seteuid(65534), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&addr, len), 0);
	fds[1] = accept(listener, NULL, NULL);
	end_init(&server, loop, fds[1], 0, 0);
	assert_true(conn_peer_user(server.conn, &uid, &gid));
	assert_int_equal(uid, 65534);
	assert_int_equal(gid, (gid_t)-1);
	/* Closed by its owner it has no inode, and the uid would say nothing. */
	close(fds[0]);
	assert_false(conn_peer_user(server.conn, &uid, &gid));
	end_fini(&server);
	close(listener);
}

enum { MANY = 200 };
static struct end ends[MANY][2];

static bool all_have_heard(void)
{
	for (int i = 0; i < MANY; i++)
		if (!end_has(&ends[i][0], 'I') || !end_has(&ends[i][1], 'I'))
			return false;
	return true;
}

static void an_idle_connection_costs_less_than_two_kilobytes(void **state)
{
	int fds[2];
	size_t before;

	(void)state;
	end_say(&a, "warm up");
	assert_true(PUMP(loop, b.got.len, 1000));
	before = mallinfo2().uordblks;
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		end_init(&ends[i][0], loop, fds[0], 0, 0);
		end_init(&ends[i][1], loop, fds[1], 0, 0);
		end_say(&ends[i][0], "EHLO client.example.org\r\n");
		end_say(&ends[i][1], "250 a reply of some length that was sent and is forgotten\r\n");
	}
	assert_true(PUMP(loop, all_have_heard(), 10000));
	for (int i = 0; i < MANY; i++)
		for (int k = 0; k < 2; k++)
			buf_release(&ends[i][k].got);
	assert_in_range((mallinfo2().uordblks - before) / (2 * MANY), 0, 2000);
	for (int i = 0; i < MANY; i++) {
		end_fini(&ends[i][0]);
		end_fini(&ends[i][1]);
	}
}

static void ten_thousand_connections_come_and_go_without_a_trace(void **state)
{
	size_t before = 0;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		struct end x, y;
		int fds[2];

		if (i == 100)
			before = mallinfo2().uordblks;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		end_init(&x, loop, fds[0], 0, 0);
		end_init(&y, loop, fds[1], 0, 0);
		conn_deadline(x.conn, loop_now_ms(loop) + 1000);
		end_say(&x, "hello\r\n");
		loop_turn(loop, 0);
		if (i % 2)
			conn_finish(x.conn, 100);
		else
			conn_free(x.conn);
		x.conn = NULL;
		loop_turn(loop, 0);
		end_fini(&y);
		loop_turn(loop, 0);
		end_fini(&x);
	}
	loop_turn(loop, 0);
	assert_in_range(mallinfo2().uordblks, 0, before + 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_TCP(name) cmocka_unit_test_setup_teardown(name, setup_tcp, teardown)
		TEST(what_is_written_in_a_turn_leaves_in_one_write),
		TEST(bytes_not_consumed_come_again_with_the_next_ones),
		TEST(a_full_input_buffer_makes_the_peer_wait),
		TEST(with_reading_off_nothing_is_told_and_with_it_on_what_is_held),
		TEST(the_end_of_input_is_told_once_after_the_last_bytes),
		TEST(the_end_of_input_waits_while_reading_is_off),
		TEST(output_is_bounded_and_drained_is_told_when_there_is_room),
		TEST(more_than_fits_is_refused_whole),
		TEST(a_large_stream_arrives_whole_and_in_order),
		TEST(flushed_is_told_when_all_is_with_the_kernel),
		TEST(a_deadline_is_told_once_and_moves),
		TEST_TCP(a_reset_is_a_failure_with_words),
		TEST(what_a_peer_said_before_it_went_is_told_although_writing_failed),
		TEST(a_callback_may_free_its_connection),
		TEST(finish_flushes_before_it_closes),
		TEST_TCP(the_last_words_reach_a_peer_that_is_still_sending),
		TEST(finish_gives_up_on_a_peer_that_does_not_read),
		TEST(unix_peers_are_known_by_their_credentials),
		TEST_TCP(tcp_peers_have_names),
		TEST(loopback_tcp_peers_are_known_by_their_sockets),
		TEST(the_socket_asked_about_is_the_clients_not_ours),
		TEST(an_idle_connection_costs_less_than_two_kilobytes),
		TEST(ten_thousand_connections_come_and_go_without_a_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
