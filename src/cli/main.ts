import { reportError } from './failure.ts';
import { buildProgram } from './program.ts';

// A reader that has seen enough (`| head`) is no error: what is left is not written, and the work goes on to its end.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const args = process.argv.slice(2);
try {
  process.exitCode = await buildProgram().run(args);
} catch (error) {
  process.exitCode = reportError(error, args.includes('--json'));
}
