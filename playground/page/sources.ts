/** Where uploads come from, beside files: what a device records, and a table that is made while it is being sent. */

export interface Source {
  name: string;
  contentType: string;
  body: Blob | ReadableStream<Uint8Array>;
  /** Bytes, where they are known. */
  size: number | undefined;
  /** Ends a recording; what was recorded is kept. */
  finish?: () => void;
}

/** A name that may be a part of a key. */
export function safeName(name: string): string {
  const safe = name
    .replace(/[/\\\p{Cc}\p{Cs}]/gu, "_")
    .replace(/^\.+$/, "_")
    .trim();
  return safe.slice(0, 80) || "unnamed";
}

export function fromFile(file: File): Source {
  return {
    name: safeName(file.name),
    contentType: file.type || "application/octet-stream",
    body: file,
    size: file.size,
  };
}

export type Device = "sound" | "screen";

export function canRecord(device: Device): boolean {
  // Neither is there on a page that is not secure.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (typeof MediaRecorder !== "function") return false;
  return typeof (device === "sound" ? devices?.getUserMedia : devices?.getDisplayMedia) === "function";
}

/** Asks for the device, and sends while it records. */
export async function record(device: Device): Promise<Source> {
  const media =
    device === "sound"
      ? await navigator.mediaDevices.getUserMedia({ audio: true })
      : await navigator.mediaDevices.getDisplayMedia({ video: true });
  const recorder = new MediaRecorder(media);
  const contentType = recorder.mimeType.split(";")[0] || (device === "sound" ? "audio/webm" : "video/webm");
  const release = (): void => media.getTracks().forEach((track) => track.stop());
  const finish = (): void => {
    if (recorder.state !== "inactive") recorder.stop();
  };
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      // Chunks must stay in order, though reading them takes turns.
      let last: Promise<unknown> = Promise.resolve();
      let isCancelled = false;
      recorder.addEventListener("dataavailable", ({ data }) => {
        last = last.then(async () => {
          const bytes = new Uint8Array(await data.arrayBuffer());
          if (!isCancelled && bytes.byteLength > 0) controller.enqueue(bytes);
        });
      });
      recorder.addEventListener("stop", () => {
        release();
        void last.then(() => !isCancelled && controller.close());
      });
      media.getTracks()[0]?.addEventListener("ended", finish);
      this.cancel = () => {
        isCancelled = true;
        finish();
        release();
      };
      recorder.start(500);
    },
  } as UnderlyingDefaultSource<Uint8Array>);
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  const extension = contentType.split("/")[1] ?? "bin";
  return { name: `${device}-${stamp}.${extension}`, contentType, body, size: undefined, finish };
}

const TABLE_BYTES = 25_000_000;

/** A table of invented measurements, made as fast as it is read. */
export function makeTable(): Source {
  const encoder = new TextEncoder();
  let row = 0;
  let made = 0;
  let seed = 1;
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        let text = row === 0 ? "row,station,celsius,hpa\n" : "";
        while (text.length < 65_536) {
          seed = (seed * 48_271) % 2_147_483_647;
          text += `${row},station-${seed % 97},${((seed % 400) / 10 - 5).toFixed(1)},${980 + (seed % 60)}\n`;
          row++;
        }
        made += text.length;
        controller.enqueue(encoder.encode(text));
        if (made >= TABLE_BYTES) controller.close();
      },
    },
    { highWaterMark: 1 },
  );
  return { name: "measurements.csv", contentType: "text/csv", body, size: TABLE_BYTES };
}
