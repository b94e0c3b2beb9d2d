/**
 * The output of a command in a job of Cloud Run, which leaves it by the log: each line is an entry with its number, and the last
 * entry has their count, because entries arrive late and in any order. deploy/lib/job-output.py puts them together again.
 */
export interface JobOutput {
  print: (line: string) => void;
  printError: (line: string) => void;
  end: (status: number) => void;
}

/** An entry has at most 256 KiB, and a character up to 4 bytes. */
const maxChars = 50_000;

/** @param write gets one line of JSON for each entry */
export function createJobOutput(write: (entry: string) => void): JobOutput {
  let entries = 0;
  const createPrint = (severity: string) => (line: string) => {
    for (let start = 0; start === 0 || start < line.length; start += maxChars) {
      entries += 1;
      const continues = start + maxChars < line.length;
      const message = line.slice(start, start + maxChars);
      write(JSON.stringify({ severity, message, entry: entries, continues }));
    }
  };
  return {
    print: createPrint('INFO'),
    printError: createPrint('ERROR'),
    end: (status) => {
      const message = `the command ended with status ${status}`;
      write(JSON.stringify({ severity: 'INFO', message, entries, status }));
    },
  };
}
