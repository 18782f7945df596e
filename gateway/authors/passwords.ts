/** Passwords, at the gateway: hashed here before anything is sent, verified by the write side, which has the hashes. */
import { hash } from '@node-rs/argon2';
import { RequestError, TimeoutError } from '@nats-io/transport-node';
import { FairWork, NoTurn, type WorkFor } from '../../shared/fair-work.js';
import { ARGON2ID, HASHED_AT_ONCE } from '../../shared/hashing.js';
import type { Nats } from '../../shared/jetstream.js';
import { natsNames } from '../../shared/names.js';
import { z } from 'zod';
import type { Presence } from '../presence.js';
import { fault } from '../errors.js';
import { siteOf, type ClientAddress } from '../origins.js';

/** Passwords that wait to be hashed, and as many that wait to be asked about. One address alone has half of these places. */
const MAX_QUEUED = 128;
/** Of one account, from one address. */
const MAX_OF_ACCOUNT = 8;
/** For its turn; then there is time for the tries. Whoever would wait for longer is refused at once. */
const MAX_WAIT_MS = 5_000;
/** Asked about at once: the write sides have turns of their own, and this is enough to keep them busy. */
const MAX_ASKED_AT_ONCE = 8;
/** One of the write sides that may answer can have gone silent a moment ago: then another is asked. */
const TRY_MS = 2_500;
const MAX_TRIES = 2;

/** `error`: it could not look, as MySQL is away, or, if it is busy, has too many to look at. */
const reply = z.union([z.object({ authorId: z.string().nullable() }), z.object({ error: z.string(), isBusy: z.boolean().optional() })]);

/** Who asks: a context, say. */
export interface PasswordSource {
  address: ClientAddress;
  presence: Presence;
}

const busy = () => fault('OVERLOADED', 'Too many people are signing in at once. Try again.');

export class Passwords {
  private readonly hashing = new FairWork({ atOnce: HASHED_AT_ONCE, places: MAX_QUEUED, placesOfAccount: MAX_OF_ACCOUNT });
  private readonly asking = new FairWork({ atOnce: MAX_ASKED_AT_ONCE, places: MAX_QUEUED, placesOfAccount: MAX_OF_ACCOUNT });

  constructor(
    private readonly nats: Nats,
    private readonly namespace: string,
  ) {}

  /** Argon2id, in PHC string format. @throws OVERLOADED */
  hash(password: string, from: PasswordSource): Promise<string> {
    return inTurn(this.hashing, {}, from, () => hash(password, ARGON2ID));
  }

  /**
   * Whose name (or e-mail address) and password these are; null for nobody's.
   * @param isKnown the account was signed in to from this address before: then it does not wait for those who guess from everywhere
   * @throws OVERLOADED, UNAVAILABLE
   */
  authenticate(usernameOrEmail: string, password: string, from: PasswordSource, isKnown = false): Promise<string | null> {
    return this.ask({ usernameOrEmail: usernameOrEmail.normalize('NFC') }, password, from, isKnown);
  }

  /** Is this the password of that author? @throws OVERLOADED, UNAVAILABLE */
  async verify(authorId: string, password: string, from: PasswordSource): Promise<boolean> {
    return (await this.ask({ authorId }, password, from)) === authorId;
  }

  private ask(
    who: { usernameOrEmail: string } | { authorId: string },
    password: string,
    from: PasswordSource,
    isKnown = false,
  ): Promise<string | null> {
    const account = ('authorId' in who ? who.authorId : who.usernameOrEmail).toLowerCase();

    return inTurn(this.asking, { account, isKnown }, from, async () => {
      const question = { ...who, password: password.normalize('NFC'), address: siteOf(from.address.network), isKnown, waitMs: TRY_MS };
      const request = JSON.stringify(question);
      for (let tries = 1; this.nats.isConnected() && !from.presence.isGone; tries++) {
        try {
          const message = await this.nats.connection.request(natsNames(this.namespace).authenticate, request, { timeout: TRY_MS });
          const answer = reply.parse(message.json());
          if ('authorId' in answer) return answer.authorId;
          if (answer.isBusy) throw busy();
          break;
        } catch (error) {
          if (!(error instanceof RequestError || error instanceof TimeoutError)) throw error;
          if (error instanceof RequestError || tries === MAX_TRIES) break;
        }
      }
      throw fault('UNAVAILABLE', 'The write side does not answer, and it alone knows passwords. Try again.');
    });
  }
}

async function inTurn<T>(
  work: FairWork,
  of: Pick<WorkFor, 'account' | 'isKnown'>,
  { address, presence }: PasswordSource,
  run: () => Promise<T>,
): Promise<T> {
  const who: WorkFor = {
    ...of,
    address: siteOf(address.network),
    waitMs: MAX_WAIT_MS,
    isGone: presence.isGone,
    whenGone: (listener) => presence.whenGone(listener),
  };
  try {
    return await work.run(who, run);
  } catch (error) {
    throw error instanceof NoTurn ? busy() : error;
  }
}
