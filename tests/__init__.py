"""Tests of Agent Gateway; the folders mirror the packages that they test."""
