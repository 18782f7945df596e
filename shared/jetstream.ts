/** NATS and JetStream as we use them: a connection that never gives up, and streams that are what we asked for. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AuthorizationError,
  connect,
  credsAuthenticator,
  nanos,
  nkeyAuthenticator,
  RequestError,
  usernamePasswordAuthenticator,
  type Authenticator,
  type NatsConnection,
  type NodeConnectionOptions,
  type ServerInfo,
} from '@nats-io/transport-node';
import {
  DiscardPolicy,
  jetstream,
  jetstreamManager,
  JetStreamApiCodes,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  type JetStreamClient,
  type JetStreamManager,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { ConfigError, hostOf, natsServers } from './config.js';
import type { Logger } from './log.js';
import { natsNames, type NatsNames, type NatsUser } from './names.js';
import { isOneOf, namesTlsFiles, readAgain, readCreds, readSecret, readSeed, takeFiles, tlsFault, type ServerFiles } from './server-url.js';

export interface Nats {
  connection: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  isConnected(): boolean;
  /** How many times the connection was lost: what was true of a stream before may not be so after. */
  timesLost(): number;
  /** Calls back when the connection is lost, until the returned function is called. */
  onLost(listener: () => void): () => void;
  /** Sends what is still to be sent, when there is somebody to send it to, and closes. */
  close(): Promise<void>;
}

/** Versions that have all that is used here. */
const LEAST_VERSION = '2.9';
/** Of a message: the largest are parts of the journal, and commands. */
export const LEAST_PAYLOAD_BYTES = 1024 * 1024;
/** A server that answers none of so many pings in a row is gone: it is noticed 4 to 6 s after its last word. */
const PING_MS = 2_000;
const MAX_PINGS_UNANSWERED = 2;
/** For a connection to be made; for an answer about streams. */
const CONNECT_TIMEOUT_MS = 3_000;
const TIMEOUT_MS = 2_000;
const RECONNECT_MS = 250;
const RECONNECT_JITTER_MS = 100;

/**
 * How to connect to what NATS_URL names: the servers, who asks, and TLS. Passwords, credentials and certificates in files are read again at
 * each connect.
 */
export function natsOptions(url: string): NodeConnectionOptions {
  const { url: address, files } = takeFiles(url);
  const { servers, user, token, pass } = natsServers(address);
  const isEncrypted = address.startsWith('tls:') || namesTlsFiles(files);
  const authenticator = authenticatorOf(files, user ?? token);
  const { tlsCa: caFile, tlsCert: certFile, tlsKey: keyFile } = files;
  const tls = {
    ...(caFile && { caFile }),
    ...(certFile && { certFile, keyFile }),
    // The client hands it on, though its types do not say so.
    checkServerIdentity: isOneOf(servers.map((server) => hostOf(`nats://${server}`))),
  };

  return {
    servers,
    ...(authenticator ? { authenticator } : token ? { token } : { user, pass }),
    // A server that cannot do it is left: the client would go on without it if this were not said.
    ...(isEncrypted && { tls }),
  };
}

/** Null when no file says who asks. */
function authenticatorOf({ creds, nkey, password }: ServerFiles, user: string | undefined): Authenticator | null {
  if (creds !== undefined) return credsAuthenticator(readAgain(() => Buffer.from(readCreds(creds))));
  if (nkey !== undefined) return nkeyAuthenticator(readAgain(() => Buffer.from(readSeed(nkey))));
  if (password !== undefined && user !== undefined)
    return usernamePasswordAuthenticator(
      user,
      readAgain(() => readSecret(password)),
    );

  return null;
}

/** Answers to what is asked of NATS go to an inbox that only this user may listen to. */
export const inboxOf = (namespace: string, user: NatsUser) => ({ inboxPrefix: natsNames(namespace).inbox(user) });

/** What keeps us out, and would again: in words; null when it is something else. */
export function natsRefusal(error: unknown): string | null {
  // The same class tells of a handshake that took too long.
  if (error instanceof AuthorizationError && /authorization violation/i.test(error.message)) {
    return 'it does not accept the user, the password or the certificate (Authorization Violation)';
  }

  return tlsFault(error);
}

interface ConnectOptions {
  /** What this connection publishes does not come back to it. */
  noEcho?: boolean;
  /** Whose inbox is used. */
  inboxPrefix?: string;
  log?: Logger;
}

/**
 * Connects, waiting for the server for as long as it takes; afterwards it reconnects for ever. What is sent while there is no
 * connection is dropped at the next try.
 * @throws ConfigError when the server is too old, takes only small messages, does not let us in, or is not the one that its certificate
 * should show; once connected, none of these ends anything
 */
export async function connectNats(url: string, name: string, { noEcho = false, inboxPrefix, log }: ConnectOptions = {}): Promise<Nats> {
  const connection = await connectAtLast(
    {
      ...natsOptions(url),
      ...(inboxPrefix && { inboxPrefix }),
      name,
      noEcho,
      timeout: CONNECT_TIMEOUT_MS,
      // The client's defaults give up after ten attempts, and notice a silent server after four minutes.
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_MS,
      reconnectJitter: RECONNECT_JITTER_MS,
      reconnectJitterTLS: RECONNECT_JITTER_MS,
      // It would close the connection for good: passwords are replaced while services run.
      ignoreAuthErrorAbort: true,
      pingInterval: PING_MS,
      maxPingOut: MAX_PINGS_UNANSWERED,
      // Else each request makes two errors with stacks, in case it fails: a third of a publisher's time.
      noAsyncTraces: true,
    },
    log,
  );
  const fault = wrongServer(connection.info);
  if (fault) {
    await connection.close();
    throw new ConfigError(fault);
  }
  // checkAPI would ask the server, and fail while JetStream is still recovering its streams.
  const options = { timeout: TIMEOUT_MS };
  let connected = true;
  let timesLost = 0;
  const listeners = new Set<() => void>();
  const lose = () => {
    connected = false;
    timesLost += 1;
    for (const listener of listeners) listener();
  };
  void (async () => {
    for await (const status of connection.status()) {
      const { type } = status;
      // It is stale when pings stay unanswered; to disconnect may take much longer, while something waits to be sent.
      if (type === 'disconnect' || type === 'staleConnection') lose();
      else if (type === 'reconnect') connected = true;
      // What this user may not do, or that it may not come back.
      else if (type === 'error') log?.warn({ err: status.error }, 'NATS');
    }
    lose();
  })();

  return {
    connection,
    js: jetstream(connection, options),
    jsm: await jetstreamManager(connection, { ...options, checkAPI: false }),
    isConnected: () => connected,
    timesLost: () => timesLost,
    onLost: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => (connected ? connection.drain() : connection.close()),
  };
}

/** Tries until it is there. (The client can wait too, but tells nobody why.) */
async function connectAtLast(options: NodeConnectionOptions, log: Logger | undefined): Promise<NatsConnection> {
  for (let last = ''; ;) {
    try {
      return await connect(options);
    } catch (error) {
      const refusal = natsRefusal(error);
      if (refusal) throw new ConfigError(`NATS: ${refusal}`);
      const { message } = error as Error;
      if (message !== last) log?.warn({ err: error }, 'NATS: waiting for it');
      last = message;
      await sleep(RECONNECT_MS);
    }
  }
}

function wrongServer(info: ServerInfo | undefined): string | null {
  if (!info) return null;
  const [least, actual] = [LEAST_VERSION, info.version].map((version) => version.split('.').map(Number));
  if (actual![0]! < least![0]! || (actual![0] === least![0] && actual![1]! < least![1]!)) {
    return `NATS: the server is ${info.version}, and must be ${LEAST_VERSION} or later`;
  }
  if (info.max_payload < LEAST_PAYLOAD_BYTES) {
    return `NATS: max_payload is ${info.max_payload}, and must be ${LEAST_PAYLOAD_BYTES} or more`;
  }

  return null;
}

/** Nothing goes by itself, neither when it is old, nor when there is much. */
const KEPT = {
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.New,
  max_age: 0,
  max_bytes: -1,
  max_msgs_per_subject: -1,
};
/** Commands that wait for the write side; then new ones are refused. */
export const MAX_COMMANDS_WAITING = 100_000;
/** The largest command has about 5 KiB; what is larger is none. */
export const MAX_COMMAND_BYTES = 64 * 1024;

/** `COMMANDS`: what waits for the write side. Full means overload: the newest is refused, nothing is pushed out. */
export const commandsStream = (names: NatsNames, lanes: number): StreamSettings => ({
  name: names.commands,
  // The one thing that all services must agree on travels with the stream.
  description: `lanes=${lanes}`,
  subjects: [names.allCommands],
  ...KEPT,
  max_msgs: MAX_COMMANDS_WAITING,
  max_msg_size: MAX_COMMAND_BYTES,
});

/** `EVENTS_<epoch>`: the journal's copy, kept whole. */
export const eventsStream = (names: NatsNames, epoch: string): StreamSettings => ({
  name: names.events(epoch),
  subjects: [names.allEvents(epoch)],
  ...KEPT,
  max_msgs: -1,
});

/** `PUBLIC_<epoch>`: kept whole too, so that whoever comes late can begin at the beginning. */
export const publicEventsStream = (names: NatsNames, epoch: string): StreamSettings => ({
  name: names.publicEvents(epoch),
  subjects: [names.allPublicEvents(epoch)],
  ...KEPT,
  max_msgs: -1,
});

/** The servers' own default; nothing here has a message id that it could look at. */
const DUPLICATE_WINDOW_MS = 120_000;

type StreamSettings = Partial<StreamConfig> & { name: string };

/** Streams that were as they should be once, in this process. */
const wereRight = new Set<string>();

/**
 * The stream's state, making it when there is none.
 * @throws ConfigError when it is otherwise, or NATS has no JetStream; another error with that line when it was right before, and
 * when NATS does not answer
 */
export async function ensureStream({ jsm, connection }: Nats, settings: StreamSettings): Promise<StreamInfo> {
  const wanted = { ...settings, duplicate_window: nanos(DUPLICATE_WINDOW_MS) };
  const info = await streamInfo(jsm, settings.name)
    .then((found) => found ?? jsm.streams.add(wanted))
    .catch((error: unknown) => {
      // Nobody answers there: it is switched off, or only just coming up.
      if (isNoStream(error) && connection.info?.jetstream !== true) {
        throw new ConfigError('NATS: the server has no JetStream (nats-server -js, or jetstream {} in its configuration)');
      }
      throw error;
    });
  // Of one that was just made too: a server leaves out what it does not know, without a word.
  const faults = Object.entries(settings).flatMap(([key, value]) => {
    const actual = info.config[key as keyof StreamConfig];
    return JSON.stringify(actual) === JSON.stringify(value)
      ? []
      : [`${key} ${JSON.stringify(actual)}, and should have ${JSON.stringify(value)}`];
  });
  if (faults.length > 0) throw new (wereRight.has(settings.name) ? Error : ConfigError)(`Stream ${settings.name} has ${faults.join('; ')}`);
  wereRight.add(settings.name);

  return info;
}

/** Null when there is no such stream. */
export async function streamInfo(jsm: JetStreamManager, name: string): Promise<StreamInfo | null> {
  try {
    return await jsm.streams.info(name);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

export const isMissing = (error: unknown): boolean => error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;

/** A publish failed because no stream takes such a subject: it was lost, or never made. */
export const isNoStream = (error: unknown): boolean => {
  // The client wraps it in an error that it does not export.
  const cause = error instanceof Error && error.cause instanceof RequestError ? error.cause : error;

  return cause instanceof RequestError && cause.isNoResponders();
};
