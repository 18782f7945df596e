/** What a command handler is: a decision, without any effect of its own. */
import type { DomainEvent } from '../shared/messages/event.js';
import type { EntityManager } from '@mikro-orm/mysql';
import type { Needs, State } from './state.js';

export interface CommandHandler<Payload> {
  /** What must be loaded for the decision: ids, not yet known to exist. */
  needs(command: Payload): Needs;
  /**
   * Decides: what has happened now, or nothing when it was so already. Changes nothing; the state does that, from the
   * events that are returned here, and so does the journal.
   * @throws Refused when a rule says no
   */
  decide(command: Payload, state: State, now: Date): DomainEvent[];
  /** What is to be kept in the same transaction and must never be journalled. */
  keepSecret?(command: Payload, em: EntityManager): void;
}
