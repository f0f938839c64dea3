package ttrpc
