// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package ttrpc

// connOf returns the connection of a client made by NewClient, or of a server's peer.
func connOf(c *Client) *conn { return c.via.(*link).conn }

// extOf returns the extended mode of a connection, or nil.
func extOf(c *conn) *extended {
	x, _ := c.mode.(*extended)
	return x
}

// dialOf returns what a client made by Dial makes its connections with.
func dialOf(c *Client) *redialer { return c.via.(*redialer) }
