/** `cheeper-client`: see docs/clients.md of Cheeper. */
export {
  CheeperClient,
  ConnectionLostError,
  GraphQLRequestError,
  type Answer,
  type AnswerExtensions,
  type ClientOptions,
  type ConsistencyReport,
  type Operation,
  type Result,
  type Sink,
} from './client.js';
export type { EventHead } from './documents.js';
export { liveTimeline } from './live-timeline.js';
