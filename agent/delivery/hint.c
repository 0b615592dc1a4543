#include "delivery/hint.h"

#include <stddef.h>

#define LOCKED "the provider has locked the account: log in at its web page, or ask its support"
#define UNPROVEN                                                                                                     \
	"whoever answers there does not know this password: perhaps it is not the server that you mean; check host " \
	"and user, and ask its operator before you choose auth = plain"

/* The first row whose words were said, in any case, decides. */
static const struct row {
	const char *words, *hint;
} rows[] = {
	/* Microsoft: 535 5.7.139 has many reasons. */
	{ "SmtpClientAuthentication is disabled",
	  "authenticated SMTP is switched off for this mailbox: the administrator of its organization can turn it on" },
	{ "basic authentication is disabled",
	  "this provider takes no passwords any more: use auth = xoauth2 with a secret_command that prints a token" },
	{ "security defaults policy",
	  "the organization's security defaults forbid passwords: its administrator can allow them, or use auth = "
	  "xoauth2" },
	{ "5.7.139", "the provider takes no password from here: use auth = xoauth2 with a secret_command that prints a "
		     "token, or ask the administrator of the mailbox" },
	/* Google */
	{ "application-specific password",
	  "the account has two-step verification: make an app password in its security settings and use that as the "
	  "secret, or use auth = xoauth2" },
	{ "InvalidSecondFactor",
	  "the account has two-step verification: make an app password in its security settings and use that as the "
	  "secret, or use auth = xoauth2" },
	{ "app password", "make an app password in the account's security settings and use that as the secret" },
	{ "log in via your web browser",
	  "the provider wants to see a person: log in to the account with a web browser, best from this network" },
	{ "log in with your web browser",
	  "the provider wants to see a person: log in to the account with a web browser, best from this network" },
	{ "WebLoginRequired",
	  "the provider wants to see a person: log in to the account with a web browser, best from this network" },
	{ "Username and Password not accepted (", "the token is not accepted: check that secret_command prints one for "
						  "this user that has not expired" },
	{ "Username and Password not accepted",
	  "the name or the password is wrong, or the provider wants an app password or a token instead" },
	/* Tokens (RFC 7628, 3.2.2; XOAUTH2) */
	{ "same token once more",
	  "secret_command must print a new token when the old one is not accepted: log in to the "
	  "provider with it again" },
	{ "insufficient_scope", "the token is not for sending mail: check the scopes that it was asked for with" },
	{ "\"status\":\"400\"", "the token is not for sending mail: check the scopes that it was asked for with" },
	{ "invalid_token", "the token has expired, was withdrawn, or is for another user" },
	{ "\"status\":\"401\"", "the token has expired, was withdrawn, or is for another user" },
	{ "token expired", "the token has expired: log in to the provider again" },
	{ "token has expired", "the token has expired: log in to the provider again" },
	/* Others */
	{ "password transition", "the provider wants a new password: change it there, then in the secret" },
	{ "password expired", "the password has expired: change it at the provider, then in the secret" },
	{ "password has expired", "the password has expired: change it at the provider, then in the secret" },
	{ "account disabled", LOCKED },
	{ "account is disabled", LOCKED },
	{ "account suspended", LOCKED },
	{ "account is suspended", LOCKED },
	{ "account locked", LOCKED },
	{ "account is locked", LOCKED },
	{ "account blocked", LOCKED },
	{ "account is blocked", LOCKED },
	{ "no AUTH mechanism that is allowed", "name one in auth that the server offers: sendoff test shows them" },
	{ "unrecognized authentication type",
	  "name another mechanism in auth: this server does not know it after all" },
	{ "what AUTH cannot carry", "remove control characters from user and secret; a token is letters, digits and "
				    "-._~+/ only" },
	/* Our own words about servers that cannot prove themselves (client_auth.c) */
	{ "proving that it knows the password", UNPROVEN },
	{ "prove that it knows the password", UNPROVEN },
	{ "too few iterations", UNPROVEN },
};

static bool says(struct span text, struct span words)
{
	for (size_t i = 0; i + words.len <= text.len; i++)
		if (span_starts_fold(span_from(text, i), words))
			return true;
	return false;
}

const char *hint_about_login(struct span words)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (says(words, span_str(rows[i].words)))
			return rows[i].hint;
	return NULL;
}
