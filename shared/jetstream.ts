/** NATS and JetStream as we use them: a connection that never gives up, and streams that are what we asked for. */
import { connect, nanos, RequestError, type NatsConnection } from '@nats-io/transport-node';
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
import { ConfigError } from './config.js';
import type { NatsNames } from './names.js';

export interface Nats {
  connection: NatsConnection;
  js: JetStreamClient;
  jsm: JetStreamManager;
  isConnected(): boolean;
  /** Sends what is still to be sent, when there is somebody to send it to, and closes. */
  close(): Promise<void>;
}

/** Connects, waiting for the server for as long as it takes; afterwards it reconnects for ever. */
export async function connectNats(url: string, name: string, { noEcho = false } = {}): Promise<Nats> {
  const connection = await connect({
    servers: url.split(','),
    name,
    noEcho,
    waitOnFirstConnect: true,
    // The client's defaults give up after ten attempts, and notice a silent server after four minutes.
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    pingInterval: 5_000,
    maxPingOut: 2,
  });
  // checkAPI would ask the server, and fail while JetStream is still recovering its streams.
  const options = { timeout: 2_000 };
  let connected = true;
  void (async () => {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect' || type === 'reconnect') connected = type === 'reconnect';
    }
    connected = false;
  })();

  return {
    connection,
    js: jetstream(connection, options),
    jsm: await jetstreamManager(connection, { ...options, checkAPI: false }),
    isConnected: () => connected,
    close: () => (connected ? connection.drain() : connection.close()),
  };
}

/** `COMMANDS`: what waits for the write side. Full means overload: the newest is refused, nothing is pushed out. */
export const commandsStream = (names: NatsNames, lanes: number): StreamSettings => ({
  name: names.commands,
  // The one thing that all services must agree on travels with the stream.
  description: `lanes=${lanes}`,
  subjects: [names.allCommands],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.New,
  max_msgs: 100_000,
  // The largest command has about 5 KiB; what is larger is none.
  max_msg_size: 65_536,
});

/** `EVENTS_<epoch>`: the journal's copy, kept whole. */
export const eventsStream = (names: NatsNames, epoch: string): StreamSettings => ({
  name: names.events(epoch),
  subjects: [names.allEvents(epoch)],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.New,
  max_msgs: -1,
});

/** `PUBLIC_<epoch>`: kept whole too, so that whoever comes late can begin at the beginning. */
export const publicEventsStream = (names: NatsNames, epoch: string): StreamSettings => ({
  name: names.publicEvents(epoch),
  subjects: [names.allPublicEvents(epoch)],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.New,
  max_msgs: -1,
  max_msgs_per_subject: -1,
  max_bytes: -1,
  max_age: 0,
});

type StreamSettings = Partial<StreamConfig> & { name: string };

/** The stream's state, making it when there is none. @throws ConfigError when it exists otherwise; an error when NATS does not answer */
export async function ensureStream({ jsm }: Nats, settings: StreamSettings): Promise<StreamInfo> {
  const found = await streamInfo(jsm, settings.name);
  if (!found) {
    const info = await jsm.streams.add({ ...settings, max_age: 0, duplicate_window: nanos(120_000) });
    return info;
  }
  for (const [key, wanted] of Object.entries(settings)) {
    const actual = found.config[key as keyof StreamConfig];
    if (JSON.stringify(actual) !== JSON.stringify(wanted)) {
      throw new ConfigError(`Stream ${settings.name} has ${key} ${JSON.stringify(actual)}, and should have ${JSON.stringify(wanted)}`);
    }
  }

  return found;
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
