/** WebAuthn's options and answers between JSON, as servers speak it, and the bytes that browsers want (WebAuthn level 3, 5.1.8). */
type Json = Record<string, unknown>;

export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (char) => char.charCodeAt(0));
}

export function textOf(bytes: ArrayBuffer): string {
  const plain = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The options with bytes where bytes belong. A new passkey is always one that logs in by itself. */
export function optionsOf(json: Json, creating: boolean): Json {
  const given = (json.publicKey ?? json) as Json;
  const options: Json = { ...given, challenge: bytesOf(String(given.challenge)) };
  for (const list of ["allowCredentials", "excludeCredentials"]) {
    const rows = given[list] as { id: string }[] | undefined;
    if (rows) options[list] = rows.map((row) => ({ ...row, id: bytesOf(row.id) }));
  }
  if (!creating) return options;
  const user = given.user as Json;
  options.user = { ...user, id: bytesOf(String(user.id)) };
  const asked = (given.authenticatorSelection ?? {}) as Json;
  const always = { residentKey: "required", requireResidentKey: true, userVerification: "required" };
  options.authenticatorSelection = { ...asked, ...always };
  return options;
}

/** What the authenticator said, as JSON for the server. */
export function answerOf(credential: PublicKeyCredential): Json {
  const response: Json = {};
  for (const name of [
    "clientDataJSON",
    "attestationObject",
    "authenticatorData",
    "signature",
    "userHandle",
  ]) {
    const value = (credential.response as unknown as Json)[name];
    if (value instanceof ArrayBuffer) response[name] = textOf(value);
  }
  return {
    id: credential.id,
    rawId: textOf(credential.rawId),
    type: credential.type,
    response,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}
