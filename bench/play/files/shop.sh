#!/bin/sh
# Stands for a service: it runs and does nothing.
exec sleep infinity
