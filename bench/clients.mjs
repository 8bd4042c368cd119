/**
 * Reading and writing one object, as each client's documentation says and with what makes it fastest. `get` resolves to
 * the bytes, read to the end.
 *
 * @typedef {import("./harness.mjs").Place} Place
 * @typedef {{ get(key: string): Promise<Uint8Array>, put(key: string, body: Uint8Array): Promise<unknown>, close?(): unknown }} Client
 */

/** Where our entries lie below the bucket. */
export const PREFIX = "cache/";

/** @param {Place} place */
const keysOf = (place) => ({ accessKeyId: place.accessKeyId, secretAccessKey: place.secretAccessKey });

/** The SDK without the checksums that it computes by default: nobody else here does. @param {Place} place */
export async function sdkClient(place) {
  const { S3Client } = await import("@aws-sdk/client-s3");
  return new S3Client({
    endpoint: place.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: keysOf(place),
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // The default is 50, with a warning in the log beyond it.
    requestHandler: { httpAgent: { keepAlive: true, maxSockets: 128 } },
  });
}

/** @type {Record<string, (place: Place, options?: any) => Promise<Client>>} */
export const clients = {
  async bucketcache(place, options) {
    const { createCache, s3Store } = await import("./ours.mjs");
    const cache = createCache({
      store: await s3Store(place),
      memory: false,
      prefix: PREFIX,
      compress: false,
      ...options,
    });
    return {
      async get(key) {
        const value = await cache.get(key);
        if (value === undefined) throw new Error(`${key} is missing`);
        return value;
      },
      put: (key, body) => cache.set(key, body),
      close: () => cache.close(),
    };
  },

  async "client-s3"(place) {
    const { GetObjectCommand, PutObjectCommand } = await import("@aws-sdk/client-s3");
    const client = await sdkClient(place);
    const Bucket = place.bucket;
    return {
      async get(key) {
        const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: PREFIX + key }));
        return /** @type {any} */ (Body).transformToByteArray();
      },
      put: (key, body) => client.send(new PutObjectCommand({ Bucket, Key: PREFIX + key, Body: body })),
      close: () => client.destroy(),
    };
  },

  async s3mini(place) {
    const { S3mini } = await import("s3mini");
    const client = new S3mini({ ...keysOf(place), endpoint: `${place.endpoint}/${place.bucket}`, region: "us-east-1" });
    return {
      get: async (key) => new Uint8Array(/** @type {ArrayBuffer} */ (await client.getObjectArrayBuffer(PREFIX + key))),
      put: (key, body) => client.putObject(PREFIX + key, /** @type {any} */ (body), "application/octet-stream"),
    };
  },

  async aws4fetch(place) {
    const { AwsClient } = await import("aws4fetch");
    const client = new AwsClient({ ...keysOf(place), service: "s3", region: "us-east-1" });
    /** @param {string} key */
    const url = (key) => `${place.endpoint}/${place.bucket}/${PREFIX}${key}`;
    /** @param {Response} response */
    const checked = (response) => {
      if (!response.ok) throw new Error(`${response.status}`);
      return response.arrayBuffer();
    };
    return {
      get: async (key) => new Uint8Array(await checked(await client.fetch(url(key)))),
      put: async (key, body) =>
        checked(await client.fetch(url(key), { method: "PUT", body: /** @type {any} */ (body) })),
    };
  },

  async bun(place) {
    const { S3Client } = /** @type {any} */ (globalThis).Bun;
    const client = new S3Client({
      ...keysOf(place),
      bucket: place.bucket,
      endpoint: place.endpoint,
      region: "us-east-1",
    });
    return {
      get: async (key) => new Uint8Array(await client.file(PREFIX + key).arrayBuffer()),
      put: (key, body) => client.write(PREFIX + key, body),
    };
  },
};

/** A bare transport: URLs are signed beforehand, and nothing but the status is looked at. */
clients["node:http, signed before"] = async (place) => {
  const { Agent, request } = await import("node:http");
  const agent = new Agent({ keepAlive: true, maxSockets: 128, maxFreeSockets: 128 });
  const { hostname, port } = new URL(place.endpoint);
  const urls = await signedUrls(place);
  return {
    get: async (key) => {
      const path = (await urls(key)).slice(place.endpoint.length);
      return new Promise((resolve, reject) => {
        /** @type {Buffer[]} */
        const chunks = [];
        request({ agent, hostname, port, path }, (response) => {
          if (response.statusCode !== 200) reject(new Error(`${response.statusCode}`));
          response.on("data", (chunk) => chunks.push(chunk));
          response.on("end", () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
        })
          .on("error", reject)
          .end();
      });
    },
    put: () => Promise.reject(new Error("reads only")),
  };
};

clients["fetch, signed before"] = async (place) => {
  const urls = await signedUrls(place);
  return {
    async get(key) {
      const response = await fetch(await urls(key));
      if (response.status !== 200) throw new Error(`${response.status}`);
      return new Uint8Array(await response.arrayBuffer());
    },
    put: () => Promise.reject(new Error("reads only")),
  };
};

/** @param {Place} place @returns {Promise<(key: string) => string | Promise<string>>} */
async function signedUrls(place) {
  const { s3Store } = await import("./ours.mjs");
  const store = await s3Store(place);
  /** @type {Map<string, string>} */
  const known = new Map();
  return (key) =>
    known.get(key) ??
    store.presign(PREFIX + key, { operation: "read", expiresIn: 3600 }).then((/** @type {any} */ { url }) => {
      known.set(key, url);
      return url;
    });
}

/** Writes through the library what the sides will read. @param {Place} place @param {readonly string[]} keys @param {(index: number) => Uint8Array} body */
export async function seed(place, keys, body) {
  const { pooled } = await import("./harness.mjs");
  const client = await /** @type {any} */ (clients).bucketcache(place);
  await pooled(keys.length, 16, (index) => client.put(keys[index], body(index)));
  await client.close();
}
