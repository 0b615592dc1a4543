#include "config_load.h"

void config_host_defaults(const struct config *config, struct config_smarthost *out)
{
	*out = (struct config_smarthost){
		.tls_verify = true,
		.connections = 3,
		.messages_per_connection = 100,
		.recipients_per_message = 100,
		.rate.per_ms = 1000,
		.reconnect = config->reconnect,
		.timeouts = config->timeouts,
		.mta_sts_port = 443,
	};
}
