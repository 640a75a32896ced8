// A waPC guest in AssemblyScript: it reads all that it is asked, and its answer says what
// that was, by its length and a hash. It takes any settings.

// @ts-ignore: decorator
@external("wapc", "__guest_request")
declare function guestRequest(operation: usize, payload: usize): void;

// @ts-ignore: decorator
@external("wapc", "__guest_response")
declare function guestResponse(address: usize, length: usize): void;

export function __guest_call(operationLength: u32, payloadLength: u32): u32 {
  const operation = new Uint8Array(operationLength);
  const payload = new Uint8Array(payloadLength);
  guestRequest(operation.dataStart, payload.dataStart);
  let hash: u32 = 2166136261; // FNV-1a
  for (let i: u32 = 0; i < payloadLength; i++) {
    hash = (hash ^ payload[i]) * 16777619;
  }
  const message = payloadLength.toString() + " bytes, " + hash.toString();
  const answer = Uint8Array.wrap(String.UTF8.encode('{"valid":true,"accepted":true,"message":"' + message + '"}'));
  guestResponse(answer.dataStart, answer.length);
  return 1;
}
