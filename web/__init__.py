"""The web application: a search page and an API over collections. `web.app.create_app` makes it."""
