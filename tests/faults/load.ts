/** Who uses the cluster while things are done to it: a fleet of recorded sessions and subscribers, and two more kinds of clients. */
import { setTimeout as pause } from 'node:timers/promises';
import { Fleet, type FleetOptions } from '../consistency/fleet.js';
import type { SentCommand } from '../consistency/history.js';
import { RecordedSession, type Viewer } from '../consistency/recorder.js';
import { eventually } from '../system.js';
import type { Cluster } from './cluster.js';

const AUTHORS = 16;
const SESSIONS = 20;
const SUBSCRIBERS = 14;
/** Each with a lane of its own, nearly always. */
const PROBES = 4;
const ANSWER_DEADLINE_MS = 8_000;
const HASTE_MS = 150;

/** A command that was answered ACCEPTED and not asked for again. */
export interface Accepted {
  command: SentCommand;
  /** In the recorder's milliseconds. */
  at: number;
}

export class Load {
  readonly accepted: Accepted[] = [];
  private readonly probes: RecordedSession[];

  private constructor(
    private readonly cluster: Cluster,
    readonly fleet: Fleet,
    private readonly viewers: Viewer[],
  ) {
    this.probes = viewers.slice(0, PROBES).map((viewer, i) => new RecordedSession(fleet.recorder, `probe ${i}`, viewer));
  }

  /** @param name of all loads on one cluster, each has another */
  static async start(cluster: Cluster, seed: number, name: string, more: Partial<FleetOptions> = {}): Promise<Load> {
    const viewers = await cluster.authors(AUTHORS);
    const fleet = new Fleet({
      seed,
      name: `${name}, `,
      viewers,
      urls: cluster.urls,
      sessions: SESSIONS,
      subscribers: SUBSCRIBERS,
      readJournal: () => cluster.readJournal(),
      ...more,
    });
    await fleet.settle();

    return new Load(cluster, fleet, viewers);
  }

  /** Goes on while something is done to the cluster, and ends with it. @throws what nothing excuses */
  async during(done: () => Promise<void>): Promise<void> {
    await this.fleet.liveThrough(async () => {
      const results = await Promise.allSettled([done().finally(() => (this.isOver = true)), this.beHasty()]);
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    });
  }

  private isOver = false;

  /** Sends commands and does not wait for more than that they are accepted. */
  private async beHasty(): Promise<void> {
    const { fleet, viewers } = this;
    const { recorder } = fleet;
    for (let n = 0; !this.isOver && !fleet.isOver; n++) {
      const random = fleet.random(`hasty ${n}`);
      const { id: actorId, accessToken } = random.pick(viewers);
      const command = {
        name: 'PostCheep',
        commandId: random.id(),
        actorId,
        cheepId: random.id(),
        message: `hasty ${n}`,
        inReplyTo: null,
      } as const;
      const { commandId, cheepId, message } = command;
      const input = { commandId, cheepId, message, waitFor: 'ACCEPTED' };
      // Whatever is answered, it may be done at any time after this.
      const nothingSeen = { outcome: 'unknown', twin: null, report: null, seen: [] as [] } as const;
      recorder.history.operations.push({
        kind: 'write',
        session: `hasty ${n}`,
        command,
        start: recorder.now(),
        end: Infinity,
        ...nothingSeen,
        seen: [],
      });
      const answer = await fetch(fleet.pick(random), {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
        body: JSON.stringify({ query: 'mutation ($input: PostCheepInput!) { postCheep(input: $input) { status } }', variables: { input } }),
        signal: AbortSignal.timeout(ANSWER_DEADLINE_MS),
      }).then(
        (response) => response.json() as Promise<{ data?: { postCheep?: { status: string } | null } | null }>,
        () => null,
      );
      if (answer?.data?.postCheep?.status === 'ACCEPTED') this.accepted.push({ command, at: recorder.now() });
      await pause(HASTE_MS);
    }
  }

  /** Until all services say that they are ready, and what several authors write can be read at another gateway. @returns milliseconds */
  async untilWell(deadlineMs: number): Promise<number> {
    const { cluster, fleet, probes } = this;
    const start = performance.now();
    await cluster.ready(deadlineMs);
    const leftMs = () => Math.max(0, deadlineMs - (performance.now() - start));
    const random = fleet.random(`probe at ${fleet.operations}`);
    await Promise.all(
      probes.map(async (session, i) => {
        const [one, other] = i % 2 === 0 ? cluster.urls : cluster.urls.toReversed();
        const actorId = session.viewer!.id;
        const command = { name: 'UpdateProfile', commandId: random.id(), actorId, fullName: `probed, ${fleet.operations}` } as const;
        await eventually(async () => (await session.write(() => one!, command)) !== 'unknown', `${session.name} has written`, leftMs());
        await eventually(() => session.readAuthor(other!, actorId), `${session.name} reads what it wrote`, leftMs());
      }),
    );

    return performance.now() - start;
  }
}
