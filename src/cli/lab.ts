export async function runLab(_: unknown): Promise<any> {}
