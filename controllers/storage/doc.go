// Package storage brings objects of our kinds that were stored in an old version into the one
// that is stored today, and has their definitions forget the old one: a definition that says
// that objects may be stored in a version cannot be updated to one without it, by nobody.
//
// What belongs here: which definitions are concerned, and the writes that have the API server
// store every object anew.
//
// What never does: conversion (the versions of a kind have one schema), and definitions of
// others.
//
// Where the data goes next: nowhere; the API server's store is as it should be.
package storage
