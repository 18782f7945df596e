/**
 * Every name that this system uses on a server that it may share: streams, subjects, keys and locks. All begin with the
 * namespace.
 */
export function natsNames(namespace: string) {
  return {
    /** Commands wait here until the write side has handled them. */
    commands: `${namespace}_COMMANDS`,
    command: (lane: number, name: string) => `${namespace}.commands.${lane}.${name}`,
    commandsOfLane: (lane: number) => `${namespace}.commands.${lane}.>`,
    allCommands: `${namespace}.commands.>`,

    /** The journal, as a stream; a new epoch has a new one. A message's sequence is its entry's position, or above it (decision 0003). */
    events: (epoch: string) => `${namespace}_EVENTS_${epoch}`,
    event: (epoch: string, type: string) => `${namespace}.events.${epoch}.${type}`,
    allEvents: (epoch: string) => `${namespace}.events.${epoch}.>`,

    /** What the outside may know of the events, as CloudEvents. */
    publicEvents: (epoch: string) => `${namespace}_PUBLIC_${epoch}`,
    publicEvent: (epoch: string, name: string) => `${namespace}.public.${epoch}.${name}`,
    allPublicEvents: (epoch: string) => `${namespace}.public.${epoch}.>`,

    /** Core NATS: the outcome of a command, to the gateway that sent it. */
    outcome: (gatewayId: string, n: number | '*') => `${namespace}.outcomes.${gatewayId}.${n}`,
    /** Core NATS: wakes the relay after a commit. */
    committed: `${namespace}.journal.committed`,
    /** Core NATS: wakes those who wait for a shard. */
    progress: `${namespace}.progress`,
    /** Core NATS: an operator has said something; where it stands is looked at sooner. */
    control: `${namespace}.control`,

    /** Answers to what this service asks come here: a server of NATS can keep those of one user from all others. */
    inbox: (service: NatsUser) => `${namespace}.inbox.${service}`,

    /** Requests that the write side answers. */
    authenticate: `${namespace}.authenticate`,
    journalHead: `${namespace}.journal.head`,
    journalRead: `${namespace}.journal.read`,
  };
}

/** Who asks: each may be another user of NATS, with rights of its own (ops/nats.conf). */
export type NatsUser = 'gateway' | 'write-side' | 'read-side' | 'operator';

export type NatsNames = ReturnType<typeof natsNames>;

export function lockNames(namespace: string) {
  return {
    lane: (lane: number) => `${namespace}.lane.${lane}`,
    /** Held by each write-side process, one each: how they know how many they are. */
    writer: (slot: number) => `${namespace}.writer.${slot}`,
    relay: `${namespace}.relay`,
    publicEvents: `${namespace}.public-events`,
    processManager: (name: string) => `${namespace}.process-manager.${name}`,
  };
}

/** Headers of our messages. */
export const HEADERS = {
  replyTo: 'Cheeper-Reply-To',
  position: 'Cheeper-Position',
  entryId: 'Cheeper-Entry-Id',
  /** The number of the parked message that this one is again. */
  retryOf: 'Cheeper-Retry-Of',
} as const;
