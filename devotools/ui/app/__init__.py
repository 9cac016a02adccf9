"""The app in the browser: `session` is all that it does, `panel` what one sees, `server` its door.

`pictures` takes files in and says what is wrong with a bad one; `corrections` keeps what a person
changed; `results` writes it all down. None of these four knows a widget, so they are tested and
read without a browser.
"""
