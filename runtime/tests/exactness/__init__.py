"""The row engine beside a model of one record at a time: plugins, cases, model, engine."""
