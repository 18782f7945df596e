/**
 * GraphQL over websockets: all operations, by the protocol graphql-transport-ws, on the same port and path as HTTP.
 * https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  getOperationAST,
  GraphQLError,
  Kind,
  OperationTypeNode,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type GraphQLSchema,
} from 'graphql';
import { CloseCode, GRAPHQL_TRANSPORT_WS_PROTOCOL, makeServer, MessageType, type SubscribePayload } from 'graphql-ws';
import { WebSocketServer, type WebSocket } from 'ws';
import { encodeToken, type Token } from '../shared/token.js';
import { admit } from './admission.js';
import type { Presence } from './presence.js';
import { CONSISTENCY_COOKIE, CONSISTENCY_HEADER } from './consistency.js';
import type { Context, Services } from './context.js';
import type { Places } from './crowd.js';
import { fault, retryAfterOf, unauthenticated } from './errors.js';
import type { Executor } from './executor.js';
import { isShort, type LargeRequests } from './large-requests.js';
import { logBugs } from './http.js';
import { faultIn } from './json.js';
import { nameOf, type Operations } from './operations.js';
import type { ClientAddress, Origins } from './origins.js';
import type { SocketRate } from './rates.js';
import { clientName, GRAPHQL_PATH } from './requests.js';
import { SESSION_COOKIE } from './sessions.js';
import { tooManyShapes } from './subscription-shares.js';
import { answer, newer, present, type Shown, type Subscriptions } from './subscriptions.js';
import { cookiesIn, cookiesOf, createContext, hasCredentials, parametersOf, type Parameters } from './transport.js';
import type { TrustedDocuments } from './trusted-documents.js';
import { MessagesWithSharedRest } from './websocket-frames.js';
import { askerAt, type Asker } from './work.js';

/** Operations of one socket at a time, at the most. */
const MAX_OPERATIONS = 100;
const MAX_BYTES_IN_A_MESSAGE = 256 * 1024;
/** Who asks for more while so much waits to be read does not read at all. */
const MAX_BYTES_UNREAD = 8 * 1024 * 1024;
/** Of messages that have begun and are not complete, of all sockets together: beyond that, those who have most are cut off, down to a half. */
const MAX_UNFINISHED_BYTES = 32 * 1024 * 1024;
/** For a message to come whole. */
const MESSAGE_DEADLINE_MS = 30_000;
/** Of one message: `ws` keeps each as it came. */
const MAX_FRAGMENTS = 1_024;
const LOOK_MS = 250;
const INIT_DEADLINE_MS = 5_000;
/** A socket that has not answered one ping by the time of the next is dead; one that is slow to read may not have come to it yet. */
const PING_MS = 12_000;
const MAX_PINGS_UNREAD = 10;
/** For a client to answer that we are going away. */
const CLOSE_DEADLINE_MS = 1_000;
/** A close frame has room for so much UTF-8 besides its code (RFC 6455, 5.5): `ws` throws when a reason is longer. */
const MAX_REASON_BYTES = 123;
/** Of an operation's id, which is kept in several places for as long as the operation lives, and sent with each of its answers. */
const MAX_ID_CHARACTERS = 256;
/** Of what a socket is opened with: as much as of the header of a request, for each parameter. */
const MAX_PARAMETER_CHARACTERS = 8 * 1024;
/** Of the payload of a ping, as JSON: a longer one is not sent back. */
const MAX_ECHOED_CHARACTERS = 1_024;
/** Answers to such pings, of a socket that does not read them: each takes half a kilobyte here, however short it is. (`ws` answers only the last of its own pings.) */
const MAX_PONGS_UNREAD = 100;
/** RFC 6455's registry: clients open another one, later. */
const TRY_AGAIN_LATER = 1013;
/** A timer takes no more: about 24 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Of one socket: the operations on it are one session, and never go back. */
interface Session {
  address: ClientAddress;
  presence: Presence;
  asker: Asker;
  /** Null where there are no rates for the address. */
  rate: SocketRate | null;
  /** What it was opened with: a page of another origin has no cookies here. */
  parameters: Parameters;
  cookies: Record<string, string | undefined>;
  /** What the client calls itself. */
  client: string | undefined;
  /** The newest that any of its operations answered with. */
  newest: Token | null;
  shown: Shown;
  /** By id, what to call when it is done. */
  underWay: Map<string, () => void>;
  /** Does nobody wait for this operation any more? */
  isLeft(id: string): boolean;
  /** What it was sent with is not needed any more. */
  letGo(id: string): void;
  /** Settles, if it cannot be on its way at once, when it is. */
  send(message: string): Promise<void> | undefined;
  messagesThatBegin(beginning: string): MessagesWithSharedRest;
  /** Ends it when its access token runs out. */
  expire(atMs: number): void;
}

/** Sends a subscription's answers as they come, and brings none of them: they are written already, once for many sockets. */
type Operation = ExecutionArgs & { id: string; session: Session };

export function serveWebsocket(
  server: Server,
  schema: GraphQLSchema,
  {
    services,
    executor,
    operations,
    documents,
    subscriptions,
    sent,
    cutOff,
    places,
    large,
  }: {
    services: Services;
    executor: Executor;
    operations: Operations;
    documents: TrustedDocuments;
    subscriptions: Subscriptions;
    /** Is told of bytes that a client has not read. */
    sent: (bytes: number) => void;
    /** Closes a connection whose client has asked for more than it may. */
    cutOff: (socket: object) => void;
    places: Places;
    large: LargeRequests;
  },
) {
  const { log, origins, rates } = services;
  /** @throws UNAUTHENTICATED for an access token that is no good, and as `createContext` */
  const contextOf = async (session: Session, params: Record<string, unknown>, payload?: SubscribePayload) => {
    const parameters = { ...session.parameters, ...parametersOf(params) };
    const extra = payload?.extensions?.[CONSISTENCY_HEADER];
    if (typeof extra === 'string') parameters[CONSISTENCY_HEADER] = [parameters[CONSISTENCY_HEADER], extra].filter(Boolean).join(',');
    // What we remember for a client is like a cookie: one of another epoch is nobody's fault, and forgotten.
    const cookies = session.newest ? { ...session.cookies, [CONSISTENCY_COOKIE]: encodeToken(session.newest) } : session.cookies;

    const context = await createContext(services, session.address, parameters, cookies, session.presence);
    if (context.authentication) throw unauthenticated(context.authentication);

    return context;
  };

  const protocol = makeServer<Record<string, unknown>, Session>({
    schema,
    connectionInitWaitTimeout: INIT_DEADLINE_MS,
    onConnect: async ({ extra: session, connectionParams }) => {
      try {
        const { expiresAtMs } = await contextOf(session, connectionParams ?? {});
        if (expiresAtMs !== null) session.expire(expiresAtMs);
      } catch (error) {
        // Who says a wrong name is not let in (4403); what else is wrong is told to each operation.
        if (error instanceof GraphQLError && error.extensions.code === 'UNAUTHENTICATED') return false;
        if (!(error instanceof GraphQLError)) throw error;
      }

      return true;
    },
    onSubscribe: async ({ extra: session, connectionParams }, id, payload) => {
      if (session.underWay.size >= MAX_OPERATIONS) return [fault('OVERLOADED', `At most ${MAX_OPERATIONS} operations run on one socket.`)];
      const operationName = nameOf(payload.operationName);
      // Before anything is waited for: messages come without waiting for each other.
      session.underWay.set(id, () => undefined);
      try {
        session.rate?.takeOperation();
        const asked = documents.resolve(payload, session.client);
        if (asked instanceof GraphQLError) throw asked;
        // A subscription is bounded by its socket; what it begins with is one read. To parse a document is work that has its turn.
        const mayBeLive = SUBSCRIPTION.test(asked.query);
        await (mayBeLive ? services.work.turnToSubscribe(session.asker) : services.work.turn(session.asker));
        // It is not waited for any more, and has not begun: graphql-ws sends nothing of it.
        if (session.isLeft(id)) throw fault('UNAVAILABLE', 'It was completed before it began.');
        // As soon as that can be known: to look at a document costs more than to refuse it.
        if (mayBeLive && !operations.isKnown(asked.query) && !subscriptions.hasRoom(session.address, session.shown)) throw tooManyShapes();
        const usedUp = session.rate && rates.refusalOfUsedUp({ address: session.address, accountId: null, cost: null });
        const isNobody = () => !hasCredentials({ ...session.parameters, ...parametersOf(connectionParams ?? {}) }, session.cookies);
        if (usedUp && isNobody()) throw usedUp;
        const checked = await operations.inTurn([asked.query], session.address.network, () => operations.check(asked, session.address));
        if (session.isLeft(id)) throw fault('UNAVAILABLE', 'It was completed before it began.');
        if (Array.isArray(checked)) {
          ended(session, id);
          if (session.rate) rates.chargeForDocument({ address: session.address, accountId: null, cost: null }, payload.query.length);
          return checked;
        }
        const isLive = getOperationAST(checked, operationName)!.operation === OperationTypeNode.SUBSCRIPTION;
        if (!isLive) session.underWay.set(id, services.work.begin(1, session.asker));
        const contextValue = await contextOf(session, connectionParams ?? {}, payload);
        // When it was opened, that may not have been known.
        if (contextValue.expiresAtMs !== null) session.expire(contextValue.expiresAtMs);
        const { variables: variableValues } = payload;
        await admit(schema, contextValue, { document: checked, operationName, variables: variableValues });
        const operation: Operation = { schema, document: checked, operationName, variableValues, contextValue, id, session };
        // graphql-ws keeps the message for as long as the operation lives, and needs nothing of this.
        Object.assign(payload, { query: '', variables: null, extensions: null });
        if (isLive) {
          session.letGo(id);
          // What takes long is not its beginning.
          services.work.ended(session.asker);
        }

        return operation;
      } catch (error) {
        ended(session, id);
        if (error instanceof GraphQLError) return [error];
        throw error;
      }
    },
    execute: (args) => executor.executeAsTold(args),
    subscribe: (args) => deliver(args as Operation),
    onNext: ({ extra: session }, _id, _payload, args, result) => {
      const told = answer(result, args.contextValue as Context);
      session.newest = newer(session.newest, told.newest);
      session.shown.at = performance.now();

      return told.payload(session.newest);
    },
    onError: (_, __, ___, errors) => {
      logBugs(errors, log);

      return errors.map((error) => present(error));
    },
    onComplete: ({ extra: session }, id) => ended(session, id),
  });

  const ended = ({ asker, underWay }: Session, id: string) => {
    services.work.ended(asker);
    underWay.get(id)?.();
    underWay.delete(id);
  };

  /** Settles with what is wrong, or with a source that sends each answer by itself and ends after the last. */
  function deliver(operation: Operation): Promise<AsyncIterableIterator<never> | ExecutionResult> {
    const { id, session, ...args } = operation;
    // graphql-ws keeps these too, and does not need them.
    Object.assign(operation, { document: NOTHING, variableValues: null });
    const beginning = `{"id":${JSON.stringify(id)},"type":"next","payload":`;
    const messages = session.messagesThatBegin(beginning);

    return subscriptions.subscribe(args, session.shown, (answer) => {
      session.newest = newer(session.newest, answer.newest);
      if (messages.sendNow(answer.asLastValue(session.newest))) return undefined;

      return session.send(`${beginning}${answer.json(session.newest)}}`);
    });
  }

  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (protocols) => protocols.has(GRAPHQL_TRANSPORT_WS_PROTOCOL) && GRAPHQL_TRANSPORT_WS_PROTOCOL,
    maxPayload: MAX_BYTES_IN_A_MESSAGE,
    maxFragments: MAX_FRAGMENTS,
    maxBufferedChunks: MAX_FRAGMENTS,
    perMessageDeflate: false,
    // One message in each round of the process's loop: else all that one socket has sent is taken at once, and all others wait for that.
    allowSynchronousEvents: false,
  });
  const unanswered = new WeakMap<WebSocket, number>();
  const heart = setInterval(() => {
    for (const websocket of sockets.clients) {
      // Its answers are not read while a long message of it waits.
      if (websocket.isPaused) continue;
      const pings = unanswered.get(websocket) ?? 0;
      if (pings >= (websocket.bufferedAmount > 0 ? MAX_PINGS_UNREAD : 1)) websocket.terminate();
      unanswered.set(websocket, pings + 1);
      websocket.ping();
    }
  }, PING_MS);
  const connectionOf = new WeakMap<WebSocket, Duplex>();
  const unfinishedSince = new WeakMap<WebSocket, number>();
  const cutOffUnfinished = () => {
    const now = performance.now();
    let bytes = 0;
    const unfinished: { websocket: WebSocket; its: number }[] = [];
    for (const websocket of sockets.clients) {
      const its = bytesUnfinished(websocket);
      if (its === 0) {
        unfinishedSince.delete(websocket);
        continue;
      }
      const since = unfinishedSince.get(websocket) ?? now;
      unfinishedSince.set(websocket, since);
      bytes += its;
      if (now - since > MESSAGE_DEADLINE_MS) websocket.terminate();
      else unfinished.push({ websocket, its });
    }
    if (bytes <= MAX_UNFINISHED_BYTES) return;
    log.warn({ bytes }, 'too much of messages is not complete, closing the websockets that have most');
    for (const { websocket, its } of unfinished.sort((a, b) => b.its - a.its)) {
      if (bytes <= MAX_UNFINISHED_BYTES / 2) break;
      bytes -= its;
      cutOff(connectionOf.get(websocket)!);
      websocket.terminate();
    }
  };
  const watch = setInterval(cutOffUnfinished, LOOK_MS);
  const serve = (websocket: WebSocket, request: IncomingMessage) => {
    const close: Close = (code, reason) => websocket.close(code, reason && cut(reason));
    // No listener below may throw: nobody is there to catch it, and the process would end.
    const failed = (error: unknown) => {
      // One that only servers send; everything else that a client can do wrong is dealt with inside.
      if (error instanceof Error && error.message.startsWith('Unexpected message of type'))
        return close(CloseCode.BadRequest, 'Invalid message received');
      log.error({ err: error }, 'a bug in a websocket operation');
      close(CloseCode.InternalServerError, 'Internal server error');
    };
    // While the one before is not on its way, this one waits for that, so that a slow reader holds back what is sent to it. To who has
    // gone, nothing is sent.
    const send = (message: string) => {
      if (websocket.bufferedAmount === 0) {
        websocket.send(message);
        return undefined;
      }
      const isSent = new Promise<void>((resolve) => websocket.send(message, () => resolve()));
      sent(message.length);

      return isSent;
    };
    const cutOffUnread = () => {
      const isFull = websocket.bufferedAmount > MAX_BYTES_UNREAD;
      if (isFull) websocket.terminate();

      return isFull;
    };
    let expiry: NodeJS.Timeout | undefined;
    const inTurn = new InTurn(websocket, close, failed, (id) => ended(session, id));
    const address = origins.addressOf(request);
    const gone = new Set<() => void>();
    const session: Session = {
      address,
      asker: askerAt(address, websocket),
      rate: rates.areFor(address) ? rates.ofSocket() : null,
      presence: new PresenceOfSocket(websocket, gone),
      parameters: parametersOf(request.headers),
      cookies: cookiesOf(origins, request),
      client: clientName(request),
      newest: null,
      shown: { at: 0 },
      underWay: new Map(),
      isLeft: (id) => websocket.readyState !== websocket.OPEN || inTurn.isCompleted(id),
      letGo: (id) => inTurn.letGo(id),
      send,
      messagesThatBegin: (beginning) => new MessagesWithSharedRest(websocket, connectionOf.get(websocket)!, beginning),
      expire: (atMs) => {
        clearTimeout(expiry);
        if (websocket.readyState !== websocket.OPEN) return;
        const leftMs = atMs - Date.now();
        if (leftMs <= 0) return close(CloseCode.Forbidden, 'The access token has expired');
        expiry = setTimeout(() => session.expire(atMs), Math.min(leftMs, LONGEST_TIMER_MS));
      },
    };
    const look = (data: Buffer, handle: Handle, letGo?: () => void) => {
      try {
        const message = data.toString();
        const wrong = faultIn(message);
        if (!wrong) return inTurn.take(message, handle, letGo);
        close(CloseCode.BadRequest, wrong.message);
      } catch (error) {
        failed(error);
      }
      letGo?.();
    };
    /** What is read of it behind a long message that waits for its turn. */
    let behind: Buffer[] | null = null;
    const lookInTurn = async (first: Buffer, handle: Handle) => {
      behind = [first];
      websocket.pause();
      try {
        for (let data = behind.shift(); data && websocket.readyState === websocket.OPEN; data = behind.shift()) {
          if (isShort(data.byteLength)) {
            await new Promise(setImmediate);
            lookAtShort(data, handle);
            continue;
          }
          const letGo = large.take(address, data.byteLength);
          if (!letGo) return close(TRY_AGAIN_LATER, 'Too much waits here');
          let end: () => void;
          try {
            end = await services.work.turnOfLarge(address, () => services.work.turnToSubscribe(session.asker));
          } catch (error) {
            letGo();
            if (error instanceof GraphQLError) return close(TRY_AGAIN_LATER, error.message);
            throw error;
          }
          if (websocket.readyState === websocket.OPEN) look(data, handle, letGo);
          else letGo();
          end();
        }
      } finally {
        behind = null;
        websocket.resume();
      }
    };
    const lookAtShort = (data: Buffer, handle: Handle) => {
      const begun = performance.now();
      look(data, handle);
      services.work.charge(session.asker, performance.now() - begun);
    };
    const messages = (handle: Handle) => (data: Buffer) => {
      unfinishedSince.delete(websocket);
      // What comes behind the message for which it is closed has no effect.
      if (cutOffUnread() || websocket.readyState !== websocket.OPEN) return;
      if (session.rate && !session.rate.takeMessage()) return close(TRY_AGAIN_LATER, 'Too many messages came on this socket');
      if (behind) behind.push(data);
      else if (isShort(data.byteLength)) lookAtShort(data, handle);
      else if (!inTurn.isBegun) close(CloseCode.BadRequest, 'The first message is not so long');
      else lookInTurn(data, handle).catch(failed);
    };
    let pongs = 0;
    /** As graphql-ws does; what is too long was taken out of the message. */
    const answerPing = async (payload: unknown) => {
      const sending = send(JSON.stringify({ type: MessageType.Pong, payload }));
      if (!sending) return;
      pongs += 1;
      if (pongs > MAX_PONGS_UNREAD) close(TRY_AGAIN_LATER, 'Too many pings came, and their answers are not read');
      await sending;
      pongs -= 1;
    };
    const closed = protocol.opened(
      {
        protocol: websocket.protocol,
        send,
        close,
        onPing: answerPing,
        onMessage: (handle) => websocket.on('message', messages(handle as Handle)),
      },
      session,
    );
    readNothingBehindFaults(websocket);
    websocket.on('ping', cutOffUnread);
    websocket.on('pong', () => unanswered.delete(websocket));
    websocket.on('error', (error) => log.debug({ err: error }, 'a websocket failed'));
    websocket.once('close', (code, reason) => {
      clearTimeout(expiry);
      for (const listener of gone) listener();
      closed(code, reason.toString()).catch(failed);
    });
  };
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // It may go before it is told anything.
    socket.on('error', (error) => log.debug({ err: error }, 'an upgrade failed'));
    const refuse = (status: string, headers = '') => {
      socket.once('finish', () => socket.destroy());
      socket.end(`HTTP/1.1 ${status}\r\n${headers}Connection: close\r\nContent-Length: 0\r\n\r\n`);
    };
    const failed = (error: unknown) => {
      log.error({ err: error }, 'a bug in an upgrade');
      socket.destroy();
    };
    const open = () => {
      const refused = refusal(request, origins);
      if (refused) return refuse(refused);
      let end = () => void socket.destroy();
      const leave = places.take(origins.addressOf(request).network, () => end());
      if (!leave) return refuse('503 Service Unavailable');
      socket.once('close', leave);
      sockets.handleUpgrade(request, socket, head, (websocket) => {
        end = () => {
          websocket.close(TRY_AGAIN_LATER, 'Others want the place');
          setTimeout(() => websocket.terminate(), CLOSE_DEADLINE_MS).unref();
        };
        connectionOf.set(websocket, socket);
        serve(websocket, request);
      });
    };
    const openCounted = async (address: ClientAddress) => {
      try {
        await rates.openSocket(address);
      } catch (error) {
        if (!(error instanceof GraphQLError)) throw error;
        return refuse('429 Too Many Requests', `Retry-After: ${retryAfterOf([error])}\r\n`);
      }
      if (!socket.destroyed) open();
    };
    try {
      const address = origins.addressOf(request);
      if (origins.isForwardedInVain(request)) rates.suspectProxy(address);
      if (rates.areFor(address)) openCounted(address).catch(failed);
      else open();
    } catch (error) {
      failed(error);
    }
  });

  return {
    /** Closes all sockets, with or without the client's consent. */
    stop: async () => {
      clearInterval(heart);
      clearInterval(watch);
      const gone = new Promise((resolve) => sockets.close(resolve));
      for (const websocket of sockets.clients) websocket.close(1001, 'Going away');
      const deadline = setTimeout(() => sockets.clients.forEach((websocket) => websocket.terminate()), CLOSE_DEADLINE_MS);
      await gone;
      clearTimeout(deadline);
    },
  };
}

/** There is no other way to write it. */
const SUBSCRIPTION = /\bsubscription\b/;

/** In place of a document that is not needed any more. */
const NOTHING: DocumentNode = { kind: Kind.DOCUMENT, definitions: [] };

type Close = (code: number, reason?: string) => void;

/** As many whole characters of a reason as fit into a close frame: graphql-ws puts a client's ids into its own. */
function cut(reason: string): string {
  const bytes = Buffer.from(reason);

  // With `stream`, a character that is not whole at the end is left out.
  return bytes.length <= MAX_REASON_BYTES ? reason : new TextDecoder().decode(bytes.subarray(0, MAX_REASON_BYTES), { stream: true });
}

/**
 * graphql-ws knows an operation by its id alone, and mixes up one that was completed and has not quite ended with the next of that
 * id: the one's last answer is sent as the other's, and the end of the one is taken for the end of the other. So that one waits.
 */
class InTurn {
  private readonly operations = new Map<string, { isCompleted: boolean; letGo: LetGo; next: Received | null }>();
  /** `connection_init` has come. */
  isBegun = false;

  constructor(
    private readonly websocket: WebSocket,
    private readonly close: Close,
    private readonly failed: (error: unknown) => void,
    private readonly ended: (id: string) => void,
  ) {}

  isCompleted(id: string): boolean {
    return this.operations.get(id)?.isCompleted ?? true;
  }

  letGo(id: string): void {
    this.operations.get(id)?.letGo?.();
  }

  /**
   * @param handle graphql-ws's own
   * @param letGo of a long message: what to call when nothing keeps it any more
   */
  take(text: string, handle: Handle, letGo?: LetGo): void {
    const { close } = this;
    const refuse = (reason: string) => {
      letGo?.();
      close(CloseCode.BadRequest, reason);
    };
    const message = parsed(text);
    const { type, id, payload } = headOf(message);
    if (letGo && type !== 'subscribe') return refuse('Only operations are so long');
    // graphql-ws wants a text.
    if (type === 'subscribe' && isWithoutText(payload)) Object.assign(payload, { query: '' });
    if (id !== undefined && id.length > MAX_ID_CHARACTERS) return refuse(`An operation's id has at most ${MAX_ID_CHARACTERS} characters`);
    if (type === 'connection_init') this.isBegun = true;
    if (type === 'connection_init' && isParameters(payload)) {
      // Those that mean something here: graphql-ws keeps all that it is given for as long as the socket lives.
      const parameters = parametersOf(payload);
      const isTooLong = Object.values(parameters).some((value) => value!.length > MAX_PARAMETER_CHARACTERS);
      if (isTooLong) return refuse(`A parameter has at most ${MAX_PARAMETER_CHARACTERS} characters`);
      return void this.pass({ type, payload: parameters }, handle);
    }
    if (type === 'ping' && isParameters(payload) && text.length > MAX_ECHOED_CHARACTERS) return void this.pass({ type }, handle);
    const before = id === undefined ? undefined : this.operations.get(id);
    if (type === 'subscribe' && id !== undefined && !before) {
      this.begin(id, { message, letGo }, handle);
    } else if (type === 'subscribe' && before?.isCompleted) {
      if (before.next !== null) close(CloseCode.SubscriberAlreadyExists, `Subscriber for ${id} already exists`);
      before.next?.letGo?.();
      before.next = { message, letGo };
    } else if (type === 'complete' && before) {
      // The one that waits has not even begun.
      if (before.next === null) void this.pass(message, handle);
      before.next?.letGo?.();
      before.next = null;
      before.isCompleted = true;
    } else {
      void this.pass(message, handle).then(letGo);
    }
  }

  private begin(id: string, { message, letGo }: Received, handle: Handle): void {
    const operation = { isCompleted: false, letGo, next: null as Received | null };
    this.operations.set(id, operation);
    void this.pass(message, handle).then(() => {
      letGo?.();
      // However graphql-ws has left it.
      this.ended(id);
      this.operations.delete(id);
      if (operation.next === null) return;
      if (this.websocket.readyState === this.websocket.OPEN) this.begin(id, operation.next, handle);
      else operation.next.letGo?.();
    });
  }

  private pass(message: unknown, handle: Handle): Promise<void> {
    return handle(message).catch(this.failed);
  }
}

type LetGo = (() => void) | undefined;

interface Received {
  message: unknown;
  letGo: LetGo;
}

/** graphql-ws parses a text, and takes what is parsed as it is. */
type Handle = (message: unknown) => Promise<void>;

interface Head {
  type?: unknown;
  id?: string;
  payload?: unknown;
}

/**
 * What a websocket has of a message that is not complete: frames that are whole, and what has come of the next. `ws` does not tell.
 *
 * A client that sends half a frame is noticed by its pings, which it cannot answer; but between the fragments of a message it can.
 */
function bytesUnfinished(websocket: WebSocket): number {
  const { _receiver: receiver } = websocket as unknown as { _receiver?: { _bufferedBytes: number; _messageLength: number } };

  return receiver ? receiver._bufferedBytes + receiver._messageLength : 0;
}

/** For as long as its socket is open. */
class PresenceOfSocket implements Presence {
  /** @param listeners are called when it is not */
  constructor(
    readonly client: WebSocket,
    private readonly listeners: Set<() => void>,
  ) {}

  get isGone(): boolean {
    return this.client.readyState !== this.client.OPEN;
  }

  whenGone(listener: () => void): () => void {
    this.listeners.add(listener);

    return () => void this.listeners.delete(listener);
  }
}

/** What reads the frames of a websocket, in `ws`. */
interface FrameReceiver {
  _errored: boolean;
  _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error) => void): void;
}

/**
 * What comes behind a frame that breaks the protocol is not read. `ws` 8.23.0 reads it if it waited when the fault was found: a stream that is written
 * to goes on with its queue although a write failed, until the next tick. Then `ws` throws where nobody can catch it.
 */
function readNothingBehindFaults(websocket: WebSocket): void {
  const { _receiver: receiver } = websocket as unknown as { _receiver: FrameReceiver };
  const write = receiver._write.bind(receiver);
  receiver._write = (chunk, encoding, done) => (receiver._errored ? done() : write(chunk, encoding, done));
}

/** An object; or the text as it is, for graphql-ws to say that it is none. */
function parsed(text: string): unknown {
  try {
    const message = JSON.parse(text) as unknown;

    return typeof message === 'object' && message !== null ? message : text;
  } catch {
    return text;
  }
}

/** Of a message that graphql-ws will look at more closely. */
function headOf(message: unknown): Head {
  if (typeof message !== 'object' || message === null) return {};
  const { type, id, payload } = message as Record<string, unknown>;

  return { type, payload, ...(typeof id === 'string' ? { id } : {}) };
}

/** Where a document is named by an id, there is no text yet. */
function isWithoutText(payload: unknown): payload is object {
  if (typeof payload !== 'object' || payload === null) return false;
  const { query, documentId, extensions } = payload as { query?: unknown; documentId?: unknown; extensions?: unknown };

  return (query === undefined || query === null) && (documentId !== undefined || extensions !== undefined);
}

const isParameters = (payload: unknown): payload is Record<string, unknown> =>
  typeof payload === 'object' && payload !== null && !Array.isArray(payload);

/** The status line for an upgrade that is refused. */
function refusal(request: IncomingMessage, origins: Origins): string | null {
  const { url = '', headers } = request;
  // A target may be a whole URL (RFC 9112, section 3.2.2), of which Host says the rest.
  const path = url.replace(/^https?:\/\/[^/?]*/i, '').split('?')[0];
  if (path !== GRAPHQL_PATH && path !== `${GRAPHQL_PATH}/`) return '404 Not Found';
  // A page of another origin cannot be kept from sending our cookie along, so then it does not get in at all.
  const hasSession = headers.cookie !== undefined && cookiesIn(headers.cookie, false)[SESSION_COOKIE] !== undefined;
  if (!hasSession || origins.isOwn(request)) return null;
  const isAllowed = origins.isAllowed(headers.origin);
  origins.explain(request, isAllowed ? 'The cookies of a websocket were ignored' : 'A websocket was refused with 403');

  return isAllowed ? null : '403 Forbidden';
}
