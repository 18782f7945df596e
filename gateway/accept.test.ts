import { describe, expect, it } from '@jest/globals';
import { acceptedBy, EVENT_STREAM, GRAPHQL_RESPONSE, JSON_TYPE } from './accept.js';

const URQL = `${GRAPHQL_RESPONSE}, application/graphql+json, ${JSON_TYPE}, ${EVENT_STREAM}, multipart/mixed`;

describe('the header Accept', () => {
  it.each<[string | undefined, string | null]>([
    [undefined, JSON_TYPE],
    ['', JSON_TYPE],
    ['*/*', JSON_TYPE],
    ['application/*', JSON_TYPE],
    [JSON_TYPE, JSON_TYPE],
    ['Application/JSON; Charset="UTF-8"', JSON_TYPE],
    ['application/json;charset=utf-8;odata=verbose', JSON_TYPE],
    [GRAPHQL_RESPONSE.toUpperCase(), GRAPHQL_RESPONSE],
    [URQL, GRAPHQL_RESPONSE],
    // Apollo Client, with @defer, and its subscriptions over HTTP.
    ['application/graphql-response+json,application/json;q=0.9', GRAPHQL_RESPONSE],
    ['multipart/mixed;deferSpec=20220824,application/graphql-response+json,application/json;q=0.9', GRAPHQL_RESPONSE],
    ['multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json', JSON_TYPE],
    [`${GRAPHQL_RESPONSE};q=0.1, ${JSON_TYPE};q=0.2`, JSON_TYPE],
    [`${JSON_TYPE};Q=0, ${GRAPHQL_RESPONSE};q=0.001`, GRAPHQL_RESPONSE],
    [`${JSON_TYPE};q=0, */*`, GRAPHQL_RESPONSE],
    [`text/html;a="x, ${JSON_TYPE}"`, null],
    [`${JSON_TYPE};q=0`, null],
    [EVENT_STREAM, null],
    ['text/html', null],
    ['multipart/mixed', null],
    ['json', null],
    [',;="', null],
  ])('%j prefers %j of the two types of JSON', (accept, json) => {
    expect(acceptedBy(accept).json).toBe(json);
    // The second time it is known.
    expect(acceptedBy(accept).json).toBe(json);
  });

  it.each<[string | undefined, boolean]>([
    [URQL, true],
    [EVENT_STREAM, true],
    ['Text/Event-Stream;q=0.1', true],
    [`${EVENT_STREAM};charset=utf-8`, true],
    [`${JSON_TYPE} , ${EVENT_STREAM}`, true],
    [`${EVENT_STREAM};q=0, ${JSON_TYPE}`, false],
    [`${EVENT_STREAM};q=0.0`, false],
    [`text/event-streams, ${JSON_TYPE}`, false],
    [`text/html;a="${EVENT_STREAM}"`, false],
    // Everybody takes everything, and means JSON.
    ['*/*', false],
    [undefined, false],
  ])('%j names event streams: %j', (accept, isNamed) => {
    expect(acceptedBy(accept).named.includes(EVENT_STREAM)).toBe(isNamed);
  });
});
