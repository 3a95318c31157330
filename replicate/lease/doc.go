// Package lease says which of several machines may acknowledge the writes of a
// database that is replicated, and keeps that in one small object beside the replica.
//
// # The protocol
//
// The object, the manifest, names an epoch, the session that owns it, and where that
// one can be reached. It is changed by conditional writes alone: who writes names the
// version that he has read, and is refused if there is another one by now. There is
// nothing that has to be agreed on besides, and no two machines have to talk.
//
//  1. An owner ships what is committed to a path of its epoch's own, and renews the
//     manifest every third of the TTL.
//  2. It acknowledges a write when the upload has ended and the manifest, read after
//     that, still names the owner's session.
//  3. It stops by itself (holdfast.ErrFenced) when it finds another session in the manifest, or
//     could not renew within nine tenths of the TTL by its own clock, counted from when the
//     last renewal that succeeded was sent.
//  4. Who watches takes over when the manifest has had the same version for a whole TTL
//     by the watcher's own clock: it writes the next epoch first, and only then
//     looks at what the epochs before have, takes the newest that has anything, verifies it, and
//     begins its own path with a copy of everything.
//  5. A session never goes on in an epoch that another one began, not even in
//     that of the process before it on the same machine: an upload of that one may yet arrive.
//
// Why nothing that was acknowledged is lost: the upload had ended, then the manifest
// named the old epoch, so the next epoch was written later, and what is looked at after
// that has the upload. An owner that was away, for however long, ships to a
// path that nobody reads any more, and is told so by the manifest before it acknowledges. No
// clock is needed for that. Clocks decide when an owner is given up, and, where writes
// are acknowledged before their upload (ASYNC), that the old owner has stopped by then: there
// clocks may run a tenth apart, and what they show doesn't matter.
//
// model_test.go tries all interleavings of both, and shows for each rule which write is
// lost, or who acknowledges beside whom, without it.
package lease
