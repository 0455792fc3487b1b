"""Bringing images in: fetching without reaching inside, checking without trusting, converting without privileges."""
