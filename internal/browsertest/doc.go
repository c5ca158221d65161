// Package browsertest opens the pages in a real browser and uses them as people do: it clicks, types, tabs, looks, and reads what stands
// there. What a page says is read from the page, never from the API beside it.
//
// One headless browser is started for the package, with a directory of its own, and each test has a fresh tab in a browser context of its own: no
// test finds the cookies, the credentials or the cache of another. Each has an instance of its own, too, in this process and on loopback.
//
// Every tab is watched from its first document to the end of its test: an error on the console, an exception that nobody caught, a
// violation of the Content-Security-Policy, or a request to any other host than the instance fails the test. What a test
// provokes on purpose it says beforehand (tab.expect).
//
// The browser is chromium, chromium-browser or google-chrome from PATH, or what CLOUDFLOW_BROWSER names; `make deps-browser` installs one. Without any the
// tests say so and skip; with CI=true they fail. With -short they skip. CLOUDFLOW_BROWSER_SHOTS names a directory for
// a picture of each tab whose test failed. CLOUDFLOW_AXE names axe-core's axe.min.js (`tools/deps-axe` installs it outside the tree). CLOUDFLOW_MEDIA names
// a directory, and makes the pictures for the README of it (`make demo-media`).
package browsertest
