/** Every projection there is: start here to find what answers a question. */
import { authors } from './authors/projection.js';
import { cheeps } from './cheeps/projection.js';
import { commands } from './commands/projection.js';
import { funnel } from './funnel/projection.js';
import { histories } from './histories/projection.js';
import { notifications } from './notifications/projection.js';
import type { Projection } from './projection.js';
import { search } from './search/projection.js';
import { threads } from './threads/projection.js';
import { createTimelines } from './timelines/projection.js';

export const createProjections = ({ HOT_FOLLOWERS }: { HOT_FOLLOWERS: number }): Projection[] => [
  authors,
  cheeps,
  threads,
  createTimelines({ hotFollowers: HOT_FOLLOWERS }),
  commands,
  funnel,
  search,
  histories,
  notifications,
];
