/** What can be done to a cluster, and undone: each kind of fault, with how soon all must be well again. */
import { headers, type MsgHdrs } from '@nats-io/transport-node';
import { HEADERS, natsNames } from '../../shared/names.js';
import { serverNames, type ServerName } from '../../stack/stack.mjs';
import type { Random } from '../consistency/random.js';
import type { ServiceName } from '../system.js';
import { canShiftClocks, type Cluster, type Link, type Service } from './cluster.js';
import type { Direction } from './proxy.js';

/** From the undoing on, until all services are ready and what is written then can be read. For a quiet machine. */
export const RESTART_BOUND_MS = 10_000;
/** When a server has lost what it had, and gets it from the journal again. */
export const REFILL_BOUND_MS = 60_000;

export interface Fault {
  kind: string;
  boundMs: number;
  /** Of two faults at a time, each has others: a process, a server, a link. */
  targets(cluster: Cluster): string[];
  /** How long it lasts, from a milliseconds on and up to others. */
  lastsMs: [number, number];
  /** Does it. @returns what undoes it */
  make(cluster: Cluster, target: string, random: Random): Promise<() => Promise<void>>;
}

/** What was put into the streams by hand, or lost with them: the checks allow for that, and for nothing else. */
export class Planted {
  /** Messages that are no command, and can only be parked. */
  garbage = 0;
  /** Commands that the database never takes. */
  poison = 0;
  /** Messages in the stream of events that no relay has put there, until that is emptied. */
  strangers = 0;
  /** When what JetStream alone had was lost, in the recorder's milliseconds. */
  readonly losses: number[] = [];
  /** The newest messages that went to the write side. */
  readonly commands: { subject: string; data: Uint8Array; headers: MsgHdrs | undefined }[] = [];

  now: () => number = () => 0;

  /** Overhears what is sent to the write side, to send it again. */
  overhear(cluster: Cluster): void {
    cluster.nats.connection.subscribe(natsNames(cluster.namespace).allCommands, {
      callback: (_, { subject, data, headers: had }) => {
        this.commands.push({ subject, data, headers: had });
        if (this.commands.length > MAX_OVERHEARD) this.commands.shift();
      },
    });
  }
}

const MAX_OVERHEARD = 500;
const SENT_AGAIN = 60;
const MAX_SHIFTED_SECONDS = 3_600;

const SERVICES: ServiceName[] = ['gateway', 'write-side', 'read-side'];
/** Longer than MySQL bears a silent connection, and Redis a lease. */
const LEASES_MS: Record<ServiceName, [number, number]> = {
  'write-side': [10_500, 12_000],
  'read-side': [5_500, 7_000],
  gateway: [3_000, 6_000],
};
const SHORT: [number, number] = [100, 2_500];

const nothing = async (): Promise<void> => undefined;
const serviceOf = (cluster: Cluster, label: string): Service => cluster.services.find((service) => service.label === label)!;
const linkOf = (cluster: Cluster, name: string): Link => cluster.links.find((link) => link.name === name)!;

function ofService(
  name: ServiceName,
  kind: string,
  lastsMs: [number, number],
  make: (service: Service, random: Random) => Promise<() => Promise<void>>,
): Fault {
  return {
    kind: `a ${name} ${kind}`,
    boundMs: RESTART_BOUND_MS,
    targets: (cluster) => cluster.services.filter((service) => service.name === name).map(({ label }) => label),
    lastsMs,
    make: (cluster, target, random) => make(serviceOf(cluster, target), random),
  };
}

const standsStill = async (service: Service) => {
  service.signal('SIGSTOP');
  return async () => service.signal('SIGCONT');
};

const serviceFaults: Fault[] = SERVICES.flatMap((name) => [
  ofService(name, 'is killed', SHORT, async (service) => {
    await service.kill();
    return async () => service.start();
  }),
  ofService(name, 'is told to stop, and started again', SHORT, async (service) => {
    await service.stop();
    return async () => service.start();
  }),
  ofService(name, 'stands still', SHORT, standsStill),
  ofService(name, 'stands still for longer than its lease', LEASES_MS[name], standsStill),
  ...(canShiftClocks()
    ? [
        ofService(name, 'has a clock that jumps', [1_500, 4_000], async (service, random) => {
          await service.kill();
          service.startWithClock();
          await service.ready(10_000).catch(() => undefined); // Something else may be amiss, too.
          service.shift(random.integer(-MAX_SHIFTED_SECONDS, MAX_SHIFTED_SECONDS));
          return async () => {
            await service.kill();
            service.start();
          };
        }),
      ]
    : []),
]);

function ofServer(
  server: ServerName,
  kind: string,
  lastsMs: [number, number],
  make: (cluster: Cluster, random: Random) => Promise<() => Promise<void>>,
  boundMs = RESTART_BOUND_MS,
): Fault {
  return { kind: `${server} ${kind}`, boundMs, targets: () => [server], lastsMs, make: (cluster, _, random) => make(cluster, random) };
}

const serverFaults = (planted: Planted): Fault[] => {
  /** A loss of JetStream's takes with it what waited there. */
  const lost = (server: ServerName, isEmpty: boolean) => {
    if (server !== 'nats') return;
    planted.losses.push(planted.now());
    if (isEmpty) planted.strangers = 0;
  };

  return [
    ...serverNames.flatMap((server) => [
      ofServer(server, 'is killed', SHORT, async ({ stack }) => {
        await stack.kill(server);
        return () => stack.restart(server);
      }),
      ofServer(server, 'is started anew', [0, 0], async ({ stack }) => {
        await stack.restart(server);
        return nothing;
      }),
      ofServer(server, 'stands still', [500, 4_000], async ({ stack }) => {
        stack.signal(server, 'SIGSTOP');
        return async () => stack.signal(server, 'SIGCONT');
      }),
    ]),
    ...(['nats', 'redis'] as const).flatMap((server) => [
      ofServer(
        server,
        'loses all that it has',
        SHORT,
        async ({ stack }) => {
          await stack.wipe(server);
          return async () => {
            await stack.restart(server);
            lost(server, true);
          };
        },
        REFILL_BOUND_MS,
      ),
      ofServer(
        server,
        'loses its folder while it runs',
        [1_000, 5_000],
        async (cluster) => {
          await cluster.removeFolder(server);
          return async () => {
            await cluster.stack.restart(server);
            lost(server, true);
          };
        },
        REFILL_BOUND_MS,
      ),
      ofServer(
        server,
        'is rolled back',
        [1_000, 5_000],
        async (cluster) => {
          const copy = await cluster.copy(server);
          return async () => {
            await cluster.rollBack(server, copy);
            lost(server, false);
          };
        },
        REFILL_BOUND_MS,
      ),
    ]),
    ofServer(
      'redis',
      'is flushed',
      [0, 0],
      async ({ redis }) => {
        await redis.flushall();
        return nothing;
      },
      REFILL_BOUND_MS,
    ),
  ];
};

const LINKS: Record<string, (cluster: Cluster) => Link[]> = {
  ...Object.fromEntries(
    (
      [
        ['write-side', 'mysql'],
        ['write-side', 'nats'],
        ['read-side', 'nats'],
        ['read-side', 'redis'],
        ['gateway', 'nats'],
        ['gateway', 'redis'],
      ] as [ServiceName, ServerName][]
    ).map(([name, server]) => [
      `from a ${name} to ${server}`,
      ({ services }: Cluster) =>
        services.filter((service) => service.name === name).flatMap(({ links }) => links.filter((link) => link.name.endsWith(server))),
    ]),
  ),
  'from clients to a gateway': ({ doors }) => doors,
};

const linkFaults: Fault[] = Object.entries(LINKS).flatMap(([way, links]) => {
  const fault = (kind: string, lastsMs: [number, number], make: (link: Link, random: Random) => void): Fault => ({
    kind: `the way ${way} ${kind}`,
    boundMs: RESTART_BOUND_MS,
    targets: (cluster) => links(cluster).map(({ name }) => name),
    lastsMs,
    make: async (cluster, target, random) => {
      const link = linkOf(cluster, target);
      make(link, random);
      return async () => link.proxy.heal();
    },
  });
  const holds = (kind: string, directions: Direction[]) => fault(kind, [500, 6_000], ({ proxy }) => proxy.hold(directions));

  return [
    fault('is cut', SHORT, ({ proxy }) => proxy.cut()),
    holds('loses everything', ['up', 'down']),
    holds('loses what is asked', ['up']),
    holds('loses what is answered', ['down']),
    fault('is slow', [1_000, 5_000], ({ proxy }, random) => proxy.delay(random.integer(20, 400))),
  ];
});

const messageFaults = (planted: Planted): Fault[] => {
  const fault = (kind: string, make: (cluster: Cluster, random: Random) => Promise<void>): Fault => ({
    kind,
    boundMs: RESTART_BOUND_MS,
    targets: () => ['messages'],
    lastsMs: [0, 0],
    make: async (cluster, _, random) => {
      await make(cluster, random);
      return nothing;
    },
  });

  return [
    fault('commands come again, late and in another order', async ({ nats }, random) => {
      for (const { subject, data, headers: had } of random.shuffled(planted.commands).slice(0, SENT_AGAIN)) {
        await nats.js.publish(subject, data, { headers: had }).catch(() => undefined); // NATS may be away.
      }
    }),
    fault('garbage comes among the commands', async ({ nats, namespace }, random) => {
      for (let i = 0; i < 5; i++) {
        const subject = natsNames(namespace).command(random.integer(0, 15), 'PostCheep');
        await nats.js.publish(subject, `no command ${random.id()}`).then(
          () => (planted.garbage += 1),
          () => undefined,
        );
      }
    }),
    fault('garbage comes among the events', async (cluster) => {
      const subject = natsNames(cluster.namespace).event(cluster.epoch, 'CheepPosted');
      await cluster.nats.js.publish(subject, 'no event').then(
        () => (planted.strangers += 1),
        () => undefined,
      );
    }),
    fault('an event comes again, late', async (cluster, random) => {
      const { nats, namespace } = cluster;
      const stream = natsNames(namespace).events(cluster.epoch);
      const state = (await nats.jsm.streams.info(stream).catch(() => null))?.state;
      if (!state) return;
      const near = random.integer(Math.max(1, state.last_seq - 200), state.last_seq);
      const message = await nats.jsm.streams.getMessage(stream, { seq: near }).catch(() => null);
      const [position, entryId] = [message?.header?.get(HEADERS.position), message?.header?.get(HEADERS.entryId)];
      if (!message || !position || !entryId) return;
      const h = headers();
      h.set(HEADERS.position, position);
      h.set(HEADERS.entryId, entryId);
      await nats.js.publish(message.subject, message.data, { headers: h }).then(
        () => (planted.strangers += 1),
        () => undefined,
      );
    }),
  ];
};

/** Every kind there is, but for what ends a journal's life and what needs a disk of its own. */
export const allFaults = (planted: Planted): Fault[] => [
  ...serviceFaults,
  ...serverFaults(planted),
  ...linkFaults,
  ...messageFaults(planted),
];
