// Requests to the server. Two things can go wrong: it says no (Refused), or it cannot be reached (Unreachable); only
// the second is worth another try.

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class Unreachable extends Error {
  /** `full`: it was reached, and its disk is full. */
  constructor(message, full = false) {
    super(message);
    this.full = full;
  }
}

const PATIENCE = 15_000; // ms
let csrf = "";

async function request(path, options, patience = PATIENCE) {
  let response;
  let body;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(patience), cache: "no-store" });
    body = await response.json();
  } catch (error) {
    throw new Unreachable(String(error));
  }
  if (response.status >= 500 || response.status === 429) {
    throw new Unreachable(`status ${response.status}`, response.status === 507);
  }
  if (!response.ok) throw new Refused(response.status, body.error ?? "refused", body.message ?? "");
  if (body.csrf) csrf = body.csrf;
  return body;
}

export const get = (path, patience) => request(path, {}, patience);

export const post = (path, body = {}, patience = PATIENCE) =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(body),
  }, patience);

/** Sends until the server has answered. `lost(true, full)` is called when it cannot be reached or its disk is full,
 *  `lost(false)` when it has answered. */
export async function persistently(send, lost) {
  for (let pause = 500; ; pause = Math.min(pause * 2, 8000)) {
    try {
      const result = await send();
      lost(false);
      return result;
    } catch (error) {
      if (!(error instanceof Unreachable)) {
        lost(false);
        throw error;
      }
      lost(true, error.full);
      await woken(pause);
    }
  }
}

/** After `pause` ms, or as soon as the network is back or somebody asks for another try. */
function woken(pause) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      removeEventListener("burnish-retry", done);
      resolve();
    };
    const timer = setTimeout(done, pause);
    addEventListener("online", done);
    addEventListener("burnish-retry", done);
  });
}
