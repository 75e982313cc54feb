import { useState } from "preact/hooks";

/** Asks for the cluster's join token. */
export function SignIn({ onToken }: { readonly onToken: (token: string) => void }) {
  const [token, setToken] = useState("");
  return (
    <main class="sign-in">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          onToken(token.trim());
        }}
      >
        <h1>Downpour</h1>
        <p>This page shows a cluster that others can reach. It needs the cluster's join token.</p>
        <label>
          Join token{" "}
          <input
            type="password"
            autocomplete="current-password"
            required
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <p class="buttons">
          <button type="submit" class="primary">
            Show the run
          </button>
        </p>
      </form>
    </main>
  );
}
