/**
 * Places at which a process can be made to die, as by kill -9, so that tests can see what every crash leaves behind. Off unless
 * CRASH_AT names one: `CRASH_AT='lanes: after commit'`, or with `#3` behind it for the third time that it is passed.
 */
export const CRASH_POINTS = [
  'gateway: before publish',
  'gateway: after publish',
  'gateway: before reply',
  'lanes: before commit',
  'lanes: after commit',
  'lanes: after reply',
  'lanes: before parking',
  'lanes: after parking',
  'lanes: before purge',
  'lanes: after purge',
  'relay: before publish',
  'relay: after publish',
  'process manager: before checkpoint',
  'process manager: after checkpoint',
  'reactions: before publish',
  'reactions: after publish',
  'mailer: before record',
  'mailer: after record',
  'mailer: after send',
  'public events: before publish',
  'public events: after publish',
  'read side: before beginning',
  'read side: after beginning',
  'read side: before apply',
  'read side: after apply',
  'read side: before progress',
  'read side: after progress',
] as const;

export type CrashPoint = (typeof CRASH_POINTS)[number];

const [wanted, times] = (process.env.CRASH_AT ?? '').split('#');
let left = Number(times ?? 1);

/** Dies here, if it is to. */
export function crashPoint(name: CrashPoint): void {
  if (name !== wanted || --left > 0) return;
  process.kill(process.pid, 'SIGKILL');
  // The signal may take a moment, in which nothing may happen any more.
  for (;;);
}
