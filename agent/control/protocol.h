/*
 * protocol - what the control socket's two ends agree on.
 *
 * A request is one line, a JSON object:
 *
 *     {"v":1,"verb":"list","filter":{"from":"*@example.org","older":"2h","limit":"100"}}
 *
 * with the keys of request.h. The answer is any number of lines {"type":"message",...} and a last one
 * {"done":true,"ok":true,...} or {"done":true,"ok":false,"exit":77,"error":"not permitted","text":"..."}, where `exit`
 * is the exit status of sysexits.h that the tool leaves with. A connection may ask again after that.
 * Ids are text as people see them, times (*_ms) are wall-clock milliseconds since 1970, sizes (*_bytes) are bytes.
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

enum {
	PROTOCOL_VERSION = 1,
	PROTOCOL_REQUEST_MAX = 64 * 1024, /* bytes of a request with its newline */
	PROTOCOL_ANSWER_MAX = 128 * 1024, /* bytes of one line of an answer */
	PROTOCOL_BODY_PIECE = 24 * 1024,  /* bytes of a message in one line, before base64 */
};

/* The group whose members may do everything. */
#define PROTOCOL_GROUP "sendoff"

#endif
