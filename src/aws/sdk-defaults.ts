/** Credentials and region as the SDK finds them. */
import { failure } from "../s3/failure.js";
import type { Provider } from "./credentials.js";
import { checkRegion } from "./endpoint.js";

/** Message for a region that is missing, also where keys are at hand and the SDK is not asked. */
export const MISSING_REGION =
  's3Store needs a region, such as "eu-west-1": by this option or AWS_REGION, or by your AWS profile when the SDK finds the credentials there';

/** The SDK looks in profiles, by SSO, in containers and on instances. */
export interface SdkDefaults {
  credentials: Provider;
  region(): Promise<string>;
}

/**
 * Returns defaults that load `@aws-sdk/client-s3`, an optional peer, when they are first asked.
 *
 * @param region The region, where it is known already.
 */
export function sdkDefaults(store: string, region: string | undefined): SdkDefaults {
  let loading: Promise<SdkDefaults> | undefined;
  const load = () =>
    (loading ??= loadConfig(store, region).catch((error: unknown) => {
      loading = undefined;
      throw error;
    }));
  return {
    credentials: async (options) => (await load()).credentials(options),
    async region() {
      const config = await load();
      try {
        const found = await config.region();
        // Not every version of the SDK checks it. Thrown later, misuse would count as an outage of the store.
        checkRegion(found);
        return found;
      } catch (error) {
        const text = `${MISSING_REGION} (${(error as Error)?.message})`;
        throw failure("ERR_CREDENTIALS", text, { store }, {}, error);
      }
    },
  };
}

async function loadConfig(store: string, region: string | undefined): Promise<SdkDefaults> {
  try {
    // Written right inside of `try`: this tells bundlers that it may be missing.
    const { S3Client } = await import("@aws-sdk/client-s3");
    return new S3Client({ ...(region !== undefined && { region }) }).config as SdkDefaults;
  } catch (error) {
    throw failure(
      "ERR_MISSING_PEER",
      "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass `credentials`, " +
        "or let the SDK look for profiles, SSO and roles: npm install @aws-sdk/client-s3",
      { store },
      {},
      error,
    );
  }
}
