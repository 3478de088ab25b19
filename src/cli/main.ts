import { reportError } from './failure.ts';
import { EXIT } from './output.ts';
import { buildProgram } from './program.ts';

// A reader that has seen enough (`| head`) is no error: what is left is not written, and the work goes on to its end.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    process.exitCode = EXIT.failed;
    if (stream === process.stdout) reportError(error, false);
  });
}

const args = process.argv.slice(2);
let code: number;
try {
  code = await buildProgram().run(args);
} catch (error) {
  code = reportError(error, args.includes('--json'));
}
// What could not be printed may have failed the command already.
if (code !== EXIT.ok) process.exitCode = code;
