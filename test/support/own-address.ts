/** OWN is an address of loopback where only this process listens: a port that it lets go of there nobody else is given, until it listens again. */
export const OWN = `127.${1 + ((process.pid >> 15) & 127)}.${(process.pid >> 7) & 255}.${1 + (process.pid & 127)}`;
