/**
 * One session at one or more gateways of Cheeper. It reads its own writes and never goes back, whichever gateway answers.
 *
 * - `ask` and `request` send an operation once. `query`, `mutate` and `execute` repeat it after a fault that passes (a lost answer,
 *   NOT_CAUGHT_UP, OVERLOADED, RATE_LIMITED, UNAVAILABLE), until a deadline. A repeated mutation has the same `commandId`, so it is done once.
 * - `subscribe` is one subscription on one connection. `follow` and `run` outlive connections and gateways: they go on after the last
 *   event that they delivered.
 * - `run` is what the adapters for other GraphQL clients are made of.
 *
 * A fault that does not pass is thrown at once by all of them.
 *
 * Needs `fetch`, and for subscriptions `WebSocket`. Browsers and Node 22 have both; with Node 20, give `webSocketImpl`.
 */
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import type { GraphQLFormattedError } from 'graphql';
import { createClient, type Client } from 'graphql-ws';
import {
  documentIdOf,
  isSubscription,
  live,
  repeatable,
  textOf,
  unchanged,
  type EventHead,
  type NamedPayload,
  type Operation,
  type Payload,
} from './documents.js';

export type { Operation } from './documents.js';

export interface ConsistencyReport {
  token: string;
  position: string;
  waitedMs: number;
  satisfied: boolean;
  lagMs: number;
}

export interface AnswerExtensions {
  consistency?: ConsistencyReport;
  /** Says that the access token is not valid or has expired, and that the operation was executed without it. */
  authentication?: unknown;
  [name: string]: unknown;
}

/** What was answered to an operation, or one event of a subscription. */
export interface Result<Data = Record<string, unknown>> {
  data: Data | null | undefined;
  errors: readonly GraphQLFormattedError[];
  extensions: AnswerExtensions;
}

/** An answer over HTTP. */
export interface Answer<Data> extends Result<Data> {
  status: number;
  headers: Headers;
}

/** An answer with errors, where none were expected. */
export class GraphQLRequestError extends Error {
  override name = 'GraphQLRequestError';

  /** @param data what was answered all the same: the receipt of a command, say, whose effect could not be read yet */
  constructor(
    readonly errors: readonly GraphQLFormattedError[],
    readonly data: unknown = null,
    readonly extensions: AnswerExtensions = {},
  ) {
    super(errors.map((error) => error.message).join('; '));
  }

  /** `extensions.code` of the first. */
  get code(): unknown {
    return this.errors[0]?.extensions?.['code'];
  }

  /** Whether any of them has the code. */
  has(code: string): boolean {
    return this.errors.some(({ extensions }) => extensions?.['code'] === code);
  }
}

/** No answer came, or the connection broke: what was asked for may have been done, or not. */
export class ConnectionLostError extends Error {
  override name = 'ConnectionLostError';
  /** For how long the server wants to be left alone. */
  retryAfterMs = 0;
}

export interface ClientOptions {
  /** Of the GraphQL endpoint, `http://localhost:4000/graphql`; or of several gateways, to go on at the next when one is lost. */
  url: string | readonly string[];
  accessToken?: string | null | undefined;
  /**
   * Called for another access token when the gateway has refused the present one, and shortly before it expires: once, however many
   * operations wait for it. It must not use this client, which would send the old token along. Null where a cookie was renewed.
   */
  renewAccessToken?: (() => Promise<string | null>) | undefined;
  consistencyToken?: string | null | undefined;
  /** With everything that is sent, over websockets too. */
  headers?: Readonly<Record<string, string>> | undefined;
  /**
   * Sends the id of each document, its SHA-256, in place of the text: for gateways that have the documents in their manifests
   * (`cheeper-client/manifest` makes one). The text of a document that a gateway does not know follows at once.
   */
  sendDocumentIds?: boolean | undefined;
  /** For how long `query`, `mutate` and `execute` try; 30 seconds. */
  deadlineMs?: number | undefined;
  /** Called when a live list has changed in bulk: fetch it again. The event itself is delivered as well. */
  onReset?: ((reset: EventHead, operation: Operation) => void) | undefined;
  /** In place of the global one. */
  fetch?: typeof fetch | undefined;
  /** The class, in place of the global one: for Node 20, that of `ws`. */
  webSocketImpl?: unknown;
}

/** Receives the results of an operation, and then its end. */
export interface Sink {
  next(result: Result): void;
  error(error: Error): void;
  complete(): void;
}

/** Without a cursor it could not be resumed; but for what came of a command, which comes once. */
type Followed = Record<string, { __typename?: string } & ({ cursor: string } | { status: string })>;

/** What an operation has tried, and with what it did so last. */
interface Tries {
  failures: number;
  hasRenewed: boolean;
  url: string;
  accessToken: string | null;
}

const CONSISTENCY = 'x-cheeper-consistency';
/** Reads nothing. */
export const NOTHING = '{ __typename }';
/** Ids of documents that a gateway did not know, so that their texts are sent. */
const MAX_UNKNOWN_IDS = 500;
/** The server takes so many tokens at once. */
const MAX_TOKENS = 16;
/** Of one try. The server itself answers within 6 seconds. */
const TRY_MS = 10_000;
/** Before the second try, at the most; doubles up to the last. */
const FIRST_BACKOFF_MS = 100;
const LAST_BACKOFF_MS = 5_000;
/** A socket that does not answer a ping for so long is dead; the system would say so late, or never. */
const PING_MS = 10_000;
const SILENCE_MS = 5_000;
/** An access token is renewed so long before it expires, or a tenth of its lifetime before, if that is later. */
const RENEWAL_MS = 30_000;

export class CheeperClient {
  /** Of the gateway that is asked next. */
  url: string;
  private readonly otherUrls: string[];
  /** All that was seen. Of two tokens in here it is not known which one says more. */
  private readonly tokens = new Set<string>();
  private readonly underWay = new Set<AbortController>();
  private folding: Promise<unknown> | null = null;
  private token: string | null = null;
  private renewalDueAt = Infinity;
  private renewing: Promise<void> | null = null;
  private socket: Client | null = null;
  private readonly unknownIds = new Set<string>();

  constructor(private readonly options: ClientOptions) {
    const [first, ...others] = typeof options.url === 'string' ? [options.url] : options.url;
    if (!first) throw new TypeError('The client needs the `url` of a gateway.');
    this.url = first;
    this.otherUrls = others;
    this.token = options.accessToken ?? null;
    this.renewalDueAt = renewalDueAt(this.token);
    this.consistencyToken = options.consistencyToken ?? null;
  }

  // ---- Who is signed in

  get accessToken(): string | null {
    return this.token;
  }

  /** Signs in with it, or out with null. Subscriptions go on, as whoever is signed in now. */
  set accessToken(token: string | null) {
    if (token === this.token) return;
    this.takeAccessToken(token);
    this.reconnect();
  }

  /**
   * Opens a new socket for all subscriptions, which go on after their last events. A socket belongs to whoever was signed in when it
   * was opened, so call this after signing in or out by cookie.
   */
  reconnect(): void {
    const { socket } = this;
    this.socket = null;
    socket?.terminate();
  }

  private takeAccessToken(token: string | null): void {
    this.token = token;
    this.renewalDueAt = renewalDueAt(token);
  }

  // ---- What was seen

  /** To give to others, who are to see all that was seen here: one token, or several with commas. */
  get consistencyToken(): string | null {
    return [...this.tokens].join(',') || null;
  }

  /** In place of what was seen; null forgets it, as one must after BAD_TOKEN. */
  set consistencyToken(token: string | null) {
    this.tokens.clear();
    this.remember(token ?? '');
  }

  /** From here on nothing older is answered than what the token's owner saw. */
  remember(token: string): void {
    for (const one of token.split(',')) if (one.trim()) this.tokens.add(one.trim());
  }

  /**
   * An answer's token covers all tokens that its question was sent with, so it takes their place. What was learnt meanwhile from
   * answers to other questions it need not cover: that stays beside it, and goes out with the next question, whose answer covers
   * both. So nothing that was seen is forgotten, in whatever order answers come, and only the server compares tokens.
   */
  private learn(token: string | undefined, sent: readonly string[]): readonly string[] {
    if (!token) return sent;
    for (const covered of sent) this.tokens.delete(covered);
    this.tokens.add(token);

    return [token];
  }

  /** All that was seen. Where that is more than can be sent, the server makes one token of many, by a question that reads nothing. */
  private async sendable(): Promise<readonly string[]> {
    while (this.tokens.size > MAX_TOKENS) {
      this.folding ??= this.post({ query: NOTHING, variables: {} }, [...this.tokens].slice(0, MAX_TOKENS), {})
        .then(dataOf)
        .finally(() => (this.folding = null));
      await this.folding;
    }

    return [...this.tokens];
  }

  // ---- Queries and mutations

  /** The answer to one try, errors and all. @throws ConnectionLostError when none came */
  ask<Data, Variables extends object>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
    headers: Readonly<Record<string, string>> = {},
    signal: AbortSignal | null = null,
  ): Promise<Answer<Data>> {
    return this.send({ query: textOf(document), variables: record(variables) }, headers, signal);
  }

  /** The data. @throws GraphQLRequestError when the answer has errors, ConnectionLostError when none came */
  async request<Data, Variables extends object>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data> {
    return dataOf(await this.ask(document, variables));
  }

  /** The data, which is asked for again after what passes. @throws as `request`: what does not pass, or the last at the deadline */
  async query<Data, Variables extends object>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data> {
    return dataOf(await this.execute<Data>({ query: document, variables: record(variables) }));
  }

  /** It is done once, however often it is sent: each time it is the same command. @throws as `query` */
  mutate<Data, Variables extends { input: { commandId?: string | null | undefined } }>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
  ): Promise<Data> {
    return this.query(document, variables);
  }

  /**
   * The answer to a query or a mutation, errors and all, after as many tries as it takes. Each command in a mutation gets a `commandId`
   * if it has none, so it is done once. Only a mutation where that is not possible, because two commands share one variable, is not sent
   * again after a lost answer.
   *
   * @throws ConnectionLostError when no answer came until the deadline, or `signal` was aborted; what `renewAccessToken` throws
   */
  async execute<Data = Record<string, unknown>>(operation: Operation, signal?: AbortSignal): Promise<Answer<Data>> {
    const deadline = performance.now() + (this.options.deadlineMs ?? 30_000);
    const { payload, kind, isRepeatable } = repeatable(operation, newId);
    const stop = new AbortController();
    const leave = endWith(stop, signal);
    this.underWay.add(stop);
    try {
      await this.renewIfDue(stop.signal);
      const tries = this.begin();
      for (;;) {
        let fault: unknown;
        let answer: Answer<Data> | null = null;
        let retryAfterMs = 0;
        const attempt = new AbortController();
        const end = endWith(attempt, stop.signal, TRY_MS);
        try {
          answer = await this.send<Data>(payload, operation.headers, attempt.signal);
          // A public query was executed all the same; but for somebody who is signed in there is more in it.
          const isForNobody = kind === 'query' && this.options.renewAccessToken && !tries.hasRenewed && isRefused(answer.extensions);
          if (answer.errors.length === 0 && answer.data && !isForNobody) return answer;
          fault = new GraphQLRequestError(isForNobody && answer.errors.length === 0 ? [NO_ACCESS] : answer.errors, answer.data);
          retryAfterMs = retryAfter(answer.headers);
        } catch (error) {
          fault = error;
          if (error instanceof ConnectionLostError) ({ retryAfterMs } = error);
        } finally {
          end();
        }
        if (!isRepeatable && !isRefusedAtTheDoor(fault)) {
          if (answer) return answer;
          throw fault;
        }
        try {
          await this.beforeNextTry(fault, tries, stop.signal, deadline, retryAfterMs);
        } catch (error) {
          // A user who cannot be signed in again still gets what is public.
          if (answer && (error === fault || (answer.data && answer.errors.length === 0))) return answer;
          throw error;
        }
      }
    } finally {
      leave();
      this.underWay.delete(stop);
    }
  }

  private async send<Data>(
    payload: Payload,
    headers: Readonly<Record<string, string>> = {},
    signal: AbortSignal | null = null,
  ): Promise<Answer<Data>> {
    const sent = CONSISTENCY in headers ? [] : await this.sendable();

    return this.post(payload, sent, { ...this.parameters(), ...headers }, signal);
  }

  private async post<Data>(
    payload: Payload,
    sent: readonly string[],
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | null = null,
  ): Promise<Answer<Data>> {
    const accept = 'application/graphql-response+json, application/json';
    const consistency: Record<string, string> = sent.length > 0 ? { [CONSISTENCY]: sent.join(',') } : {};
    const lost = (cause: unknown) => Promise.reject(new ConnectionLostError('No answer came.', { cause }));
    const { fetch: ask = fetch } = this.options;
    const body = await this.named(payload);
    const response = await ask(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept, ...consistency, ...headers },
      body: JSON.stringify(body),
      signal,
    }).catch(lost);
    const text = await response.text().catch(lost);
    const { status, headers: received } = response;
    const { data, errors, extensions = {} } = parsed<Data>(received.get('content-type'), text);
    if (data === undefined && !errors) {
      if (status === 401) throw new GraphQLRequestError([NO_ACCESS]);
      // By somebody between us and the gateway, or by a gateway that is about to stop.
      const isPassing = [408, 429, 502, 503, 504].includes(status);
      const error = new (isPassing ? ConnectionLostError : Error)(`${response.url} answered ${status}, and no GraphQL.`);
      if (error instanceof ConnectionLostError) error.retryAfterMs = retryAfter(received);
      throw error;
    }
    if (this.isUnknown(body, errors)) return this.post(payload, sent, headers, signal);
    this.learn(extensions.consistency?.token, sent);

    return { status, headers: received, data, errors: errors ?? [], extensions };
  }

  /** With the document's id in place of its text, if that may do. */
  private async named(payload: Payload): Promise<Payload | NamedPayload> {
    const documentId = this.options.sendDocumentIds ? await documentIdOf(payload.query) : null;
    if (documentId === null || this.unknownIds.has(documentId)) return payload;
    const { query: _, ...others } = payload;

    return { documentId, ...others };
  }

  /** Was this refused because the gateway does not know the id? Then it is not sent again. */
  private isUnknown(sent: Payload | NamedPayload, errors: readonly GraphQLFormattedError[] | undefined): boolean {
    const isUnknown = 'documentId' in sent && (errors ?? []).some(({ extensions }) => extensions?.['code'] === 'PERSISTED_QUERY_NOT_FOUND');
    if (isUnknown) {
      if (this.unknownIds.size >= MAX_UNKNOWN_IDS) this.unknownIds.clear();
      this.unknownIds.add(sent.documentId);
    }

    return isUnknown;
  }

  // ---- Subscriptions

  /** What a subscription brings on one connection, until `return` is called (as leaving a `for await` does). @throws as `request` */
  subscribe<Data, Variables extends object>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
    signal?: AbortSignal,
  ): AsyncIterableIterator<Data, undefined> {
    const stop = new AbortController();
    const leave = endWith(stop, signal);
    const events = dataOfEach(this.onOneConnection<Data>({ query: textOf(document), variables: record(variables) }, stop.signal));

    return leavable(events, () => (leave(), stop.abort()));
  }

  /**
   * What a subscription brings, whatever happens to connections and gateways: it goes on after the last event that was taken from
   * here, so each comes once and in order. That it is live comes once too: later interruptions are nobody's business. A reset is
   * handed on, for only the caller knows what it has shown. It ends when it is left, on `close`, and with the operation itself.
   * @throws what does not pass: UNAUTHENTICATED, say, when the access token has run out and there is no other
   */
  follow<Data extends Followed, Variables extends object>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
  ): AsyncGenerator<Data, undefined> {
    const stop = new AbortController();

    return leavable(dataOfEach(this.resumed<Data>({ query: document, variables: record(variables) }, stop)), () => stop.abort());
  }

  /**
   * Executes an operation of any kind for another GraphQL client. A query or a mutation has one result, a subscription one for each
   * event. A GraphQL error is part of a result; `error` is called only when no answer came.
   *
   * @returns what ends it, after which nothing is called
   */
  run(operation: Operation, sink: Sink): () => void {
    const stop = new AbortController();
    let isLeft = false;
    const next = (result: Result) => void (isLeft || sink.next(result));
    const results = async () => {
      if (!isSubscription(operation)) return next(await this.forgetting(() => this.execute(operation, stop.signal)));
      for await (const result of this.resumed(operation, stop)) next(result);
    };
    results()
      .catch((error: unknown) => {
        if (!(error instanceof GraphQLRequestError)) throw error;
        next({ data: error.data as Result['data'], errors: error.errors, extensions: error.extensions });
      })
      .then(
        () => void (isLeft || sink.complete()),
        (error: unknown) => void (isLeft || sink.error(error instanceof Error ? error : new Error(String(error)))),
      );

    return () => {
      isLeft = true;
      stop.abort();
    };
  }

  /** A token of another epoch says nothing of this one. Whoever is behind an adapter cannot drop it, so it is dropped here. */
  private async forgetting(ask: () => Promise<Result>): Promise<Result> {
    const answer = await ask();
    const isOfAnotherEpoch = answer.errors.some(({ extensions }) => extensions?.['code'] === 'BAD_TOKEN');
    if (!isOfAnotherEpoch || this.tokens.size === 0) return answer;
    this.consistencyToken = null;

    return ask();
  }

  private async *resumed<Data = Record<string, unknown>>(
    operation: Operation,
    stop: AbortController,
  ): AsyncGenerator<Result<Data>, undefined> {
    const subscription = live(operation);
    let after = subscription?.after;
    let isLive = false;
    await this.renewIfDue(stop.signal);
    const tries = this.begin();
    this.underWay.add(stop);
    try {
      while (!stop.signal.aborted) {
        try {
          const payload = subscription?.payload(after) ?? unchanged(operation);
          for await (const result of this.onOneConnection<Data>(payload, stop.signal)) {
            const { data, errors, extensions } = result;
            const fault = errors.length > 0 || !data ? new GraphQLRequestError(errors, data, extensions) : null;
            if (fault && (!data || isPassing(fault))) throw fault;
            Object.assign(tries, { failures: 0, hasRenewed: false });
            const head = subscription?.take(data as Record<string, unknown>);
            if (head) after = head.cursor;
            const saysLive = head?.type.endsWith('Live') ?? false;
            if (head?.type.endsWith('Reset')) this.options.onReset?.(head, operation);
            if (!saysLive || !isLive) yield result;
            isLive ||= saysLive;
          }

          return;
        } catch (error) {
          await this.beforeNextTry(error, tries, stop.signal);
        }
      }
    } finally {
      this.underWay.delete(stop);
    }
  }

  private onOneConnection<Data>(payload: Payload, signal: AbortSignal): AsyncGenerator<Result<Data>, undefined> {
    const arrived: Result<Data>[] = [];
    let hasBegun = false;
    let end: { error?: Error | undefined } | null = null;
    let [wake, leave] = [() => {}, () => {}];
    const finish = (error?: Error) => {
      if (end) return;
      end = { error };
      signal.removeEventListener('abort', over);
      leave();
      wake();
    };
    const over = () => finish();
    if (signal.aborted) over();
    signal.addEventListener('abort', over);
    const begin = async () => {
      let covered = await this.sendable();
      const named = await this.named(payload);
      if (end) return;
      const socket = (this.socket ??= this.openSocket());
      const extensions = covered.length > 0 ? { [CONSISTENCY]: covered.join(',') } : {};
      const unsubscribe = socket.subscribe<Data, AnswerExtensions>(
        // graphql-ws does not send a message without `query`. An empty one is none to the gateway.
        { query: '', ...named, variables: { ...payload.variables }, extensions },
        {
          next: ({ data, errors = [], extensions = {} }) => {
            // Those of a subscription never go back: each covers the one before it, and the first what was sent.
            covered = this.learn(extensions?.consistency?.token, covered);
            hasBegun = true;
            arrived.push({ data, errors: errors, extensions });
            wake();
          },
          error: (reason) => {
            if (!Array.isArray(reason) || !this.isUnknown(named, reason as GraphQLFormattedError[])) return finish(socketFault(reason));
            unlisten();
            start();
          },
          complete: over,
        },
      );
      // After 1000 graphql-ws would subscribe anew by itself, from the old cursor, and what has come would come twice.
      const unlisten = socket.on('closed', (event) => hasBegun && finish(this.ended.has(socket) ? undefined : socketFault(event)));
      leave = () => {
        unlisten();
        unsubscribe();
      };
    };
    const start = () => void begin().catch((error: unknown) => finish(error as Error));
    start();

    const taken = async function* (): AsyncGenerator<Result<Data>, undefined> {
      try {
        for (;;) {
          while (arrived.length === 0 && !end) await new Promise<void>((resolve) => (wake = resolve));
          if (arrived.length === 0 || signal.aborted) break;
          yield arrived.shift()!;
        }
        if (end?.error) throw end.error;
      } finally {
        finish();
      }
    };

    return taken();
  }

  /** Ends all that is under way. What is asked afterwards is answered as before. */
  async close(): Promise<void> {
    for (const stop of this.underWay) stop.abort();
    const { socket } = this;
    this.socket = null;
    if (!socket) return;
    this.ended.add(socket);
    await Promise.resolve(socket.dispose()).catch(() => {}); // It may not even be open.
  }
  private readonly ended = new WeakSet<Client>();

  /** Of all subscriptions of this client. */
  private openSocket(): Client {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = () => clearTimeout(timer);
    const listen = () => {
      heard();
      timer = setTimeout(() => socket.terminate(), SILENCE_MS);
    };
    if (this.options.webSocketImpl === undefined && typeof WebSocket === 'undefined')
      throw new Error(
        'There is no WebSocket here. With Node 20, install `ws` and give the client its class: { webSocketImpl: WebSocket }.',
      );
    const socket = createClient({
      url: () => socketUrl(this.url),
      webSocketImpl: this.options.webSocketImpl,
      connectionParams: () => this.parameters(),
      retryAttempts: 0, // `resumed` knows from where.
      keepAlive: PING_MS,
      on: {
        connecting: listen,
        connected: heard,
        ping: (isTheirs) => !isTheirs && listen(),
        pong: (isTheirs) => isTheirs && heard(),
        closed: heard,
      },
    });

    return socket;
  }

  // ---- Trying again

  private begin(): Tries {
    return { failures: 0, hasRenewed: false, url: this.url, accessToken: this.token };
  }

  /** Waits until it is worth another try, at another gateway if there is one. @throws the error when it is not */
  private async beforeNextTry(error: unknown, tries: Tries, signal: AbortSignal, deadline = Infinity, retryAfterMs = 0): Promise<void> {
    const { renewAccessToken } = this.options;
    if (signal.aborted) throw error;
    if (renewAccessToken && !tries.hasRenewed && error instanceof GraphQLRequestError && error.has('UNAUTHENTICATED')) {
      // Unless it was renewed for another operation meanwhile.
      if (this.token === tries.accessToken) await this.renew(renewAccessToken);
      tries.hasRenewed = true;
    } else {
      const backoffMs = Math.random() * Math.min(FIRST_BACKOFF_MS * 2 ** tries.failures, LAST_BACKOFF_MS);
      // What one gateway asks for is not asked of another; but all of them share the budgets of RATE_LIMITED.
      const waitMs = backoffMs + Math.max(this.otherUrls.length > 0 ? 0 : retryAfterMs, budgetWaitMs(error));
      if (!isPassing(error) || performance.now() + waitMs > deadline) throw error;
      // Unless another operation has left that gateway meanwhile.
      if (this.url === tries.url) {
        this.otherUrls.push(this.url);
        this.url = this.otherUrls.shift()!;
      }
      tries.failures += 1;
      await sleep(waitMs, signal);
    }
    tries.url = this.url;
    tries.accessToken = this.token;
  }

  /** Once, for all that wait for it. */
  private renew(renewAccessToken: () => Promise<string | null>): Promise<void> {
    const renew = async () => {
      try {
        this.takeAccessToken(await renewAccessToken());
      } finally {
        this.renewing = null;
      }
    };

    return (this.renewing ??= renew());
  }

  /** Before the token expires, so that nothing is refused. If that fails, the present one is good for a while, and then refused. */
  private async renewIfDue(signal: AbortSignal): Promise<void> {
    const { renewAccessToken } = this.options;
    if (!renewAccessToken || Date.now() < this.renewalDueAt || signal.aborted) return;
    this.renewalDueAt = Infinity;
    await this.renew(renewAccessToken).catch(() => {});
  }

  /** Headers over HTTP, and what a socket is opened with. */
  private parameters(): Record<string, string> {
    return { ...(this.token ? { authorization: `Bearer ${this.token}` } : {}), ...this.options.headers };
  }
}

const NO_ACCESS: GraphQLFormattedError = {
  message: 'The access token is none, or has run out.',
  extensions: { code: 'UNAUTHENTICATED' },
};

function dataOf<Data>({ data, errors, extensions }: Result<Data>): Data {
  if (errors.length > 0 || !data) throw new GraphQLRequestError(errors, data, extensions);

  return data;
}

async function* dataOfEach<Data>(results: AsyncIterable<Result<Data>>): AsyncGenerator<Data, undefined> {
  for await (const result of results) yield dataOf(result);
}

/** The types of variables are made without an index signature. */
const record = (variables: object): Record<string, unknown> => ({ ...variables });

/** Nothing where it is no JSON, or was cut off. */
function parsed<Data>(contentType: string | null, text: string): Partial<Pick<Answer<Data>, 'data' | 'errors' | 'extensions'>> {
  if (!contentType?.includes('json')) return {};
  try {
    return (JSON.parse(text) ?? {}) as Partial<Answer<Data>>;
  } catch {
    return {};
  }
}

/** The same again may succeed. */
const isPassing = (error: unknown): boolean =>
  error instanceof ConnectionLostError ||
  (error instanceof GraphQLRequestError && error.errors.length > 0 && error.errors.every((one) => one.extensions?.['retryable'] === true));

/** For how long a budget is used up: 0 when that is not what is wrong. */
function budgetWaitMs(error: unknown): number {
  if (!(error instanceof GraphQLRequestError)) return 0;

  return Math.max(0, ...error.errors.map(({ extensions }) => Number(extensions?.['retryAfterMs'] ?? 0)));
}

/** Nothing was executed, so it may be sent again even if it must be done only once. An error with a path is one of a field. */
const isRefusedAtTheDoor = (error: unknown): boolean =>
  error instanceof GraphQLRequestError && error.data == null && error.errors.every(({ path }) => path === undefined);

/** The gateway has executed the operation without the access token that came with it. */
const isRefused = ({ authentication }: AnswerExtensions): boolean => authentication !== undefined && authentication !== null;

/** What ended a subscription: errors of its own, or the end of its socket. */
function socketFault(reason: unknown): Error {
  if (Array.isArray(reason)) return new GraphQLRequestError(reason as GraphQLFormattedError[]);
  const { code = 1006, reason: why = '' } = reason as { code?: number; reason?: string };
  if (code === 4403) return new GraphQLRequestError([NO_ACCESS]);
  // The protocol's own are bugs; but a server may be too slow to let anybody in (4408), and a socket dead (4499).
  const isBug = code >= 4400 && code <= 4500 && code !== 4408 && code !== 4499;

  return new (isBug ? Error : ConnectionLostError)(`The connection was closed: ${code} ${why}`.trim());
}

/** In milliseconds; 0 when the header is absent or neither a number of seconds nor a date. */
function retryAfter(headers: Headers): number {
  const value = headers.get('retry-after')?.trim() ?? '';
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();

  return ms > 0 ? ms : 0;
}

/**
 * When to renew an access token that came just now. Its lifetime is counted from then, by the clock of this machine: compared with the
 * times in the token, a clock that is wrong would have it renewed always, or too late.
 */
function renewalDueAt(accessToken: string | null): number {
  try {
    const claims = (accessToken ?? '').split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/');
    const { iat, exp } = JSON.parse(atob(claims)) as { iat?: number; exp?: number };
    const lifetimeMs = (Number(exp) - Number(iat)) * 1_000;

    return lifetimeMs > 0 ? Date.now() + lifetimeMs - Math.min(lifetimeMs / 10, RENEWAL_MS) : Infinity;
  } catch {
    return Infinity; // Not one of those that say how long they live.
  }
}

/** Also for a path, which in a browser is one of the page's own server. */
function socketUrl(url: string): string {
  const base = (globalThis as { location?: { href: string } }).location?.href;

  return (base === undefined ? url : new URL(url, base).href).replace(/^http/, 'ws');
}

/** A UUID. `crypto.randomUUID` is missing in pages that came over plain HTTP. */
function newId(): string {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** Aborts it with a signal, or after a time. @returns what forgets both */
function endWith(stop: AbortController, signal?: AbortSignal, afterMs?: number): () => void {
  const end = () => stop.abort();
  if (signal?.aborted) end();
  signal?.addEventListener('abort', end);
  const timer = afterMs === undefined ? undefined : setTimeout(end, afterMs);

  return () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  };
}

/** A generator that waits cannot be told to return, so what it waits for must be ended first. */
function leavable<T>(events: AsyncGenerator<T, undefined>, end: () => void): AsyncGenerator<T, undefined> {
  const leave = events.return.bind(events);
  events.return = (value) => {
    end();

    return leave(value);
  };

  return events;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
