const ORIGIN = /^[a-z][a-z\d+.-]*:\/\/[^/?#@\\,\s]+$/i;

/** An origin in the form in which browsers write it (lower case, no default port, Punycode); null for what is none, such as `null`. */
export function originOf(text: string): string | null {
  const url = ORIGIN.test(text) ? URL.parse(text) : null;
  if (!url?.host) return null;

  // Apps in a web view have origins of other schemes, such as capacitor://localhost, for which URL has no word.
  return url.origin === 'null' ? `${url.protocol}//${url.host}` : url.origin;
}
