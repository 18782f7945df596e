/** Which media types a client takes as an answer, by the grammar of `Accept` (RFC 9110, section 12.5.1). */
import { LRUCache } from 'lru-cache';
import Negotiator from 'negotiator';

export const JSON_TYPE = 'application/json';
export const GRAPHQL_RESPONSE = 'application/graphql-response+json';
export const EVENT_STREAM = 'text/event-stream';

export interface Accepted {
  /** Of the two types of JSON the one that the client prefers; null if it takes neither. Without a preference it is `application/json`. */
  json: typeof JSON_TYPE | typeof GRAPHQL_RESPONSE | null;
  /** Those that are named, wildcards not resolved: in lower case, the preferred ones first. */
  named: readonly string[];
}

/** Clients say the same in each request. */
const MAX_KNOWN = 100;
const MAX_KNOWN_CHARACTERS = 500;
const known = new LRUCache<string, Accepted>({ max: MAX_KNOWN });

export function acceptedBy(accept: string | undefined): Accepted {
  const header = accept?.trim() || '*/*';
  const before = known.get(header);
  if (before) return before;
  const negotiator = new Negotiator({ headers: { accept: header } });
  const named = negotiator.mediaTypes().map((type) => type.toLowerCase());
  const isJson = (type: string | undefined) => type === JSON_TYPE || type === GRAPHQL_RESPONSE;
  const preferred = negotiator.mediaType([JSON_TYPE, GRAPHQL_RESPONSE].map((type) => `${type}; charset=utf-8`))?.split(';')[0];
  // A parameter that JSON does not have is no reason to refuse it.
  const json = (isJson(preferred) ? preferred : named.find(isJson)) as Accepted['json'] | undefined;
  const accepted = { json: json ?? null, named };
  if (header.length <= MAX_KNOWN_CHARACTERS) known.set(header, accepted);

  return accepted;
}
