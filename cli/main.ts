/**
 * The operator's command. From a checkout `npm run cheeper -- SUBCOMMAND …`, which finds the system that `npm start` runs; else
 * `node dist/cli/main.js SUBCOMMAND …` with the settings of the services in the environment.
 *
 * Exit codes: 0 done, 1 it could not be done, 2 it was called in a wrong way. Answers go to stdout, all else to stderr. A reader that
 * goes away changes none of these.
 */
import { ConfigError } from '../shared/config.js';
import { backup, restore } from './backup.js';
import { epoch } from './epoch.js';
import { history } from './history.js';
import { parked } from './parked.js';
import { journal } from './journal.js';
import { expectWritten, watchOutput } from './output.js';
import { lanes, pause, resume, step } from './pause.js';
import { projections } from './projections.js';
import { status } from './status.js';
import { OperatorError, UsageError, type Subcommand } from './subcommand.js';
import { verify } from './verify.js';

/** Every subcommand there is. */
const subcommands: Record<string, Subcommand> = {
  status,
  pause,
  resume,
  step,
  lanes,
  parked,
  projections,
  verify,
  journal,
  history,
  backup,
  restore,
  epoch,
};

const HELP = `Usage: cheeper SUBCOMMAND …

${Object.entries(subcommands)
  .map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`)
  .join('\n')}

cheeper SUBCOMMAND --help tells more.`;

async function main([name, ...args]: string[]): Promise<void> {
  if (name === '--help' || name === '-h') return print(HELP);
  if (name === undefined) throw new UsageError('No subcommand was given. cheeper --help lists them.');
  if (!Object.hasOwn(subcommands, name)) throw new UsageError(`There is no subcommand ${JSON.stringify(name)}. cheeper --help lists them.`);
  const subcommand = subcommands[name]!;
  if (args.includes('--help') || args.includes('-h')) return print(`${subcommand.summary}\n\n${subcommand.usage}`);
  await subcommand.run(args, print);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

watchOutput();

try {
  await main(process.argv.slice(2));
  await new Promise((resolve) => process.stdout.write('', resolve));
  expectWritten();
} catch (error) {
  const isExpected = error instanceof UsageError || error instanceof OperatorError || error instanceof ConfigError;
  process.stderr.write(`cheeper: ${isExpected ? error.message : (error as Error).stack}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
// All that was said is out; a server that is silent keeps its connection, and nobody waits for it any more.
process.stdout.write('', () => process.exit());
