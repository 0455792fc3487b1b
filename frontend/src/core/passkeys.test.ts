import { expect, test } from "vitest";
import { bytesOf, optionsOf, textOf } from "./passkeys";

test("base64url goes to bytes and back, whatever the bytes are", () => {
  for (const bytes of [[], [0], [251, 255, 254], [1, 2, 3, 4], [...Array(256).keys()]]) {
    const text = textOf(new Uint8Array(bytes).buffer);
    expect(text).not.toMatch(/[+/=]/);
    expect([...bytesOf(text)]).toEqual(bytes);
  }
});

test("a new passkey logs in by itself, and known ones are named by their bytes", () => {
  const json = {
    publicKey: {
      challenge: "AQID",
      user: { id: "NA", name: "bob" },
      excludeCredentials: [{ id: "_w", type: "public-key" }],
      authenticatorSelection: { residentKey: "discouraged", userVerification: "preferred" },
    },
  };
  const options = optionsOf(json, true);
  expect(options.challenge).toEqual(new Uint8Array([1, 2, 3]));
  expect(options.user).toEqual({ id: new Uint8Array([52]), name: "bob" });
  expect(options.excludeCredentials).toEqual([{ id: new Uint8Array([255]), type: "public-key" }]);
  expect(options.authenticatorSelection).toMatchObject({
    residentKey: "required",
    userVerification: "required",
  });
});
