/* What providers say when they refuse a login, as they say it, and what people are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "delivery/hint.h"

static void what_providers_say_is_understood(void **state)
{
	static const struct {
		const char *said, *hint; /* a part of it; NULL: none */
	} rows[] = {
		{ "smtp.office365.com [192.0.2.1]: AUTH: 535 5.7.139 Authentication unsuccessful, basic authentication is "
		  "disabled. [AM0PR01CA0100.eurprd01.prod.exchangelabs.com]",
		  "takes no passwords any more" },
		{ "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit "
		  "https://aka.ms/smtp_auth_disabled for more information.",
		  "switched off for this mailbox" },
		{ "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy",
		  "security defaults forbid" },
		{ "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria",
		  "takes no password from" },
		{ "534 5.7.9 Application-specific password required. For more information, go to "
		  "https://support.google.com/mail/?p=InvalidSecondFactor",
		  "app password" },
		{ "534 5.7.14 Please log in via your web browser and then try again.", "web browser" },
		{ "535 5.7.8 Username and Password not accepted. For more information, go to "
		  "https://support.google.com/mail/?p=BadCredentials",
		  "the name or the password is wrong" },
		{ "535 5.7.8 Username and Password not accepted ({\"status\":\"401\",\"schemes\":\"Bearer\"})",
		  "token" },
		{ "535 5.7.8 no ({\"status\":\"invalid_token\"})", "expired" },
		{ "535 5.7.8 no ({\"status\":\"insufficient_scope\"})", "scopes" },
		{ "535 5.7.8 no ({\"status\":\"400\",\"schemes\":\"Bearer\",\"scope\":\"https://mail.google.com/\"})",
		  "scopes" },
		{ "535 5.7.8 no; secret_command gave the same token once more", "new token" },
		{ "432 4.7.12 A password transition is needed", "new password" },
		{ "535 5.7.8 ACCOUNT IS LOCKED", "locked" },
		{ "mx: AUTH: the server cannot prove that it knows the password", "not the server that you mean" },
		{ "mx: AUTH: the server accepted without proving that it knows the password", "not the server" },
		{ "535 5.7.8 Error: authentication failed: (reason unavailable)", NULL },
		{ "535 5.7.3 Authentication unsuccessful", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const char *hint = hint_about_login(span_str(rows[i].said));

		if (rows[i].hint ? !hint || !strstr(hint, rows[i].hint) : hint != NULL)
			fail_msg("%s: %s", rows[i].said, hint ? hint : "nothing");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_providers_say_is_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
