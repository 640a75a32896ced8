/* A waPC guest in C without a library: it reads all that it is asked, and its answer says
 * what that was, by its length and a hash. It takes any settings. */

typedef unsigned char byte;
typedef unsigned int u32;

#define IMPORT(name) __attribute__((import_module("wapc"), import_name(name)))

IMPORT("__guest_request") void guest_request(byte *operation, byte *payload);
IMPORT("__guest_response") void guest_response(const byte *address, u32 length);
IMPORT("__guest_error") void guest_error(const byte *address, u32 length);

static byte operation[32];
static byte payload[1 << 20];
static byte answer[96];

static u32 append(u32 at, const char *text)
{
	while (*text)
		answer[at++] = (byte)*text++;
	return at;
}

static u32 append_number(u32 at, u32 number)
{
	byte digits[10];
	int n = 0;
	do
		digits[n++] = (byte)('0' + number % 10);
	while (number /= 10);
	while (n > 0)
		answer[at++] = digits[--n];
	return at;
}

__attribute__((export_name("__guest_call"))) u32 guest_call(u32 operation_length, u32 payload_length)
{
	static const char too_long[] = "the question is too long";
	u32 hash = 2166136261u; /* FNV-1a */
	u32 at;

	if (operation_length > sizeof operation || payload_length > sizeof payload) {
		guest_error((const byte *)too_long, sizeof too_long - 1);
		return 0;
	}
	guest_request(operation, payload);
	for (u32 i = 0; i < payload_length; i++)
		hash = (hash ^ payload[i]) * 16777619u;
	at = append(0, "{\"valid\":true,\"accepted\":true,\"message\":\"");
	at = append_number(at, payload_length);
	at = append(at, " bytes, ");
	at = append_number(at, hash);
	at = append(at, "\"}");
	guest_response(answer, at);
	return 1;
}
