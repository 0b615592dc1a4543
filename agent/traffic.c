#include "traffic.h"

const char *traffic_gate_name(enum traffic_gate gate)
{
	switch (gate) {
	case TRAFFIC_GATE_NONE: return "none";
	case TRAFFIC_GATE_SENDING: return "sending";
	case TRAFFIC_GATE_HELD: return "held";
	case TRAFFIC_GATE_KEPT: return "kept";
	case TRAFFIC_GATE_DAMAGED: return "damaged";
	case TRAFFIC_GATE_ROUTE: return "route";
	case TRAFFIC_GATE_NETWORK: return "network";
	case TRAFFIC_GATE_PAUSED: return "paused";
	case TRAFFIC_GATE_LANE: return "lane";
	case TRAFFIC_GATE_ACCOUNT: return "account";
	case TRAFFIC_GATE_RATE: return "rate";
	case TRAFFIC_GATE_RETRY: return "retry";
	case TRAFFIC_GATE_RELEASE: return "release";
	case TRAFFIC_GATE_LINE: return "line";
	case TRAFFIC_GATE_REPORT: return "report";
	}
	return "unknown";
}
