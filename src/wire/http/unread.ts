import type { IncomingMessage } from 'node:http';
import type { Clock } from '#base/clock';

/** Long enough to hear the answer, and to stop. */
const MOMENT_MS = 2_000;

/**
 * endUnread is for a request that was answered before its body had come, because it is refused: the peer has a moment to hear that and to stop
 * sending; then the line is closed. Node by itself would take in and drop whatever is sent, for as long as a request may take.
 */
export function endUnread(request: IncomingMessage, clock: Clock): void {
  const { socket } = request;
  if (request.complete || socket.destroyed) return;
  const cancel = clock.after(MOMENT_MS, () => {
    if (!request.complete) socket.destroy();
  });
  // A line that goes on, because the body came after all, carries many requests: nothing of this one stays on it.
  const over = () => {
    if (!request.complete && !socket.destroyed) return;
    cancel();
    socket.off('close', over);
    request.off('end', over).off('close', over);
  };
  socket.on('close', over);
  request.on('end', over).on('close', over);
}
