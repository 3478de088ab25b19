import { buildProgram } from './program.ts';
import { reportError } from './output.ts';

try {
  process.exitCode = await buildProgram().run(process.argv.slice(2));
} catch (error) {
  process.exitCode = reportError(error, process.argv.includes('--json'));
}
