import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "/static/",
  plugins: [svelte()],
  build: {
    outDir: "dist",
    manifest: true,
    assetsInlineLimit: 0, // the page's policy allows fonts from our own origin only
    rollupOptions: { input: "src/main.ts" },
  },
  resolve: process.env.VITEST ? { conditions: ["browser"] } : {},
  test: { environment: "happy-dom", include: ["src/**/*.test.ts"] },
});
